// RUN: phalanx-opt --px-outline-parallel --split-input-file %s | FileCheck %s

// Rank-0 buffers are passed with their noalias, views of them are made again inside, constants too.
// CHECK-LABEL: func.func private @scale_parallel(
// CHECK-SAME:    %[[N:[a-z0-9]+]]: index, %[[X0:[a-z0-9]+]]: memref<f32> {llvm.noalias}
// CHECK-SAME:    %[[BY:[a-z0-9]+]]: f32, %[[I:[a-z0-9]+]]: index)
// CHECK:         %[[ONE:.*]] = arith.constant 1 : index
// CHECK:         %[[X:.*]] = memref.reinterpret_cast %[[X0]] to offset: [0], sizes: [%[[N]]]
// CHECK:         scf.for %[[J:.*]] = %[[I]] to %[[N]] step %[[ONE]]
// CHECK:           memref.load %[[X]][%[[J]]]
// CHECK:           arith.mulf %{{.*}}, %[[BY]]
// CHECK:         return
// CHECK-LABEL: func.func @scale(
// CHECK-SAME:    %[[A:[a-z0-9]+]]: memref<f32> {llvm.noalias}, %[[B:[a-z0-9]+]]: f32, %[[C:[a-z0-9]+]]: index
// CHECK:         scf.parallel (%[[K:.*]]) =
// CHECK-NEXT:      func.call @scale_parallel(%[[C]], %[[A]], %[[B]], %[[K]])
// CHECK-NEXT:      scf.reduce
func.func @scale(%x0: memref<f32> {llvm.noalias}, %by: f32, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %chunk = arith.constant 1024 : index
  %x = memref.reinterpret_cast %x0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  scf.parallel (%i) = (%zero) to (%n) step (%chunk) {
    scf.for %j = %i to %n step %one {
      %v = memref.load %x[%j] : memref<?xf32>
      %w = arith.mulf %v, %by : f32
      memref.store %w, %x[%j] : memref<?xf32>
    }
    scf.reduce
  }
  return
}

// -----

// A name that is taken, two loops in one function, a buffer without noalias.
// CHECK-LABEL: func.func private @twice_parallel_1(
// CHECK-SAME:    %{{[a-z0-9]+}}: memref<4xf32>, %{{[a-z0-9]+}}: index)
// CHECK-LABEL: func.func private @twice_parallel_2(
// CHECK-LABEL: func.func @twice(
// CHECK:         call @twice_parallel_1
// CHECK:         call @twice_parallel_2
func.func private @twice_parallel()
func.func @twice(%x: memref<4xf32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %four = arith.constant 4 : index
  %value = arith.constant 1.0 : f32
  scf.parallel (%i) = (%zero) to (%four) step (%one) {
    memref.store %value, %x[%i] : memref<4xf32>
    scf.reduce
  }
  scf.parallel (%i) = (%zero) to (%four) step (%one) {
    memref.store %value, %x[%i] : memref<4xf32>
    scf.reduce
  }
  return
}

// -----

// A buffer of unknown layout that nothing here made cannot be a bare pointer: left alone.
// CHECK-LABEL: func.func @strided(
// CHECK:         scf.parallel
// CHECK-NEXT:      memref.store
func.func @strided(%x: memref<?xf32, strided<[?], offset: ?>>, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %value = arith.constant 1.0 : f32
  scf.parallel (%i) = (%zero) to (%n) step (%one) {
    memref.store %value, %x[%i] : memref<?xf32, strided<[?], offset: ?>>
    scf.reduce
  }
  return
}

// -----

// A loop that reduces is left alone.
// CHECK-LABEL: func.func @sum(
// CHECK:         scf.parallel {{.*}} init
// CHECK-NEXT:      memref.load
func.func @sum(%x: memref<8xf32>) -> f32 {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %eight = arith.constant 8 : index
  %start = arith.constant 0.0 : f32
  %sum = scf.parallel (%i) = (%zero) to (%eight) step (%one) init (%start) -> f32 {
    %v = memref.load %x[%i] : memref<8xf32>
    scf.reduce(%v : f32) {
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      scf.reduce.return %s : f32
    }
  }
  return %sum : f32
}
