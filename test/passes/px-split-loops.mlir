// RUN: phalanx-opt %s --px-split-loops | FileCheck %s

// A block of arguments is looked at; the branch for small ones is marked.
// CHECK-LABEL: func.func @whole
// CHECK: scf.for %[[START:.*]] = %{{.*}} to %{{.*}} step
// CHECK:   %[[FLAGS:.*]] = scf.for
// CHECK:     memref.load
// CHECK:     arith.bitcast
// CHECK:     arith.ori
// CHECK:   %[[LARGE:.*]] = arith.cmpi slt, %[[FLAGS]]
// CHECK:   scf.if %[[LARGE]]
// CHECK:     math.sin %{{[^ ]*}} : f32
// CHECK:   } else {
// CHECK:     math.sin %{{[^ ]*}} {px.small} : f32
func.func @whole(%x0: memref<f32>, %y0: memref<f32> {llvm.noalias}, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %x = memref.reinterpret_cast %x0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  %y = memref.reinterpret_cast %y0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  scf.for %i = %zero to %n step %one {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.sin %0 : f32
    memref.store %1, %y[%i] : memref<?xf32>
  }
  return
}

// What the loop carries goes through the blocks.
// CHECK-LABEL: func.func @sum
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (f32)
// CHECK: scf.if %{{.*}} -> (f32)
func.func @sum(%x: memref<?xf32>, %n: index) -> f32 {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %start = arith.constant 0.0 : f32
  %r = scf.for %i = %zero to %n step %one iter_args(%a = %start) -> (f32) {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.cos %0 : f32
    %2 = arith.addf %a, %1 : f32
    scf.yield %2 : f32
  }
  return %r : f32
}

// In place is fine; a neighbour that the loop itself writes is not.
// CHECK-LABEL: func.func @in_place
// CHECK: scf.if
// CHECK-LABEL: func.func @neighbour
// CHECK-NOT: scf.if
func.func @in_place(%x: memref<?xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.sin %0 : f32
    memref.store %1, %x[%i] : memref<?xf32>
  }
  return
}

func.func @neighbour(%x: memref<?xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.sin %0 : f32
    %next = arith.addi %i, %one : index
    memref.store %1, %x[%next] : memref<?xf32>
  }
  return
}

// Two arguments that may be the same memory, an argument that is carried, a short loop: left alone.
// CHECK-LABEL: func.func @maybe_the_same
// CHECK-NOT: scf.if
// CHECK-LABEL: func.func @carried
// CHECK-NOT: scf.if
// CHECK-LABEL: func.func @short
// CHECK-NOT: scf.if
func.func @maybe_the_same(%x: memref<?xf32>, %y: memref<?xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.sin %0 : f32
    memref.store %1, %y[%i] : memref<?xf32>
  }
  return
}

func.func @carried(%n: index, %x: f32) -> f32 {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %r = scf.for %i = %zero to %n step %one iter_args(%a = %x) -> (f32) {
    %1 = math.cos %a : f32
    scf.yield %1 : f32
  }
  return %r : f32
}

func.func @short(%x: memref<?xf32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %n = arith.constant 16 : index
  scf.for %i = %zero to %n step %one {
    %0 = memref.load %x[%i] : memref<?xf32>
    %1 = math.sin %0 : f32
    memref.store %1, %x[%i] : memref<?xf32>
  }
  return
}

// Approximate functions are allowed: no look is needed.
// CHECK-LABEL: func.func @approximate
// CHECK-NOT: scf.if
// CHECK: math.sin %{{.*}} fastmath<afn> {px.small} : f32
func.func @approximate(%x: f32) -> f32 {
  %0 = math.sin %x fastmath<afn> : f32
  return %0 : f32
}
