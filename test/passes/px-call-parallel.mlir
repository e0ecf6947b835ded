// RUN: %phalanx_opt %s --px-call-parallel | FileCheck %s

// The body of the loop becomes a function, the loop a call that gets the number of rounds and the workspace.
// CHECK-LABEL: func.func private @fill_part
// CHECK: func.func private @[[SHARE:px_share__fill_parallel]](memref<f32>, index, memref<i8>)
// CHECK: func.func private @fill(
// CHECK-SAME: %[[OUT:[a-z0-9]+]]: memref<f32>
// CHECK-SAME: %[[WS:[a-z0-9]+]]: memref<i8>
// CHECK-NOT: scf.parallel
// CHECK: %[[COUNT:.*]] = arith.constant 8 : index
// CHECK: call @[[SHARE]](%[[OUT]], %[[COUNT]], %[[WS]])
module {
  func.func private @fill_part(%out: memref<f32>, %i: index) attributes {px.cluster = "part"} {
    return
  }
  func.func private @fill(%out: memref<f32>, %ws: memref<i8>) attributes {px.cluster = "elementwise"} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c8 = arith.constant 8 : index
    scf.parallel (%i) = (%c0) to (%c8) step (%c1) {
      func.call @fill_part(%out, %i) : (memref<f32>, index) -> ()
      scf.reduce
    }
    return
  }

  // The driver leaves room for the callback between the planned arena (256 bytes) and the workspace.
  // CHECK: func.func @main
  // CHECK-DAG: %[[PLANNED:.*]] = arith.constant 256 : index
  // CHECK-DAG: %[[ROOM:.*]] = arith.constant 64 : index
  // CHECK: %[[START:.*]] = arith.addi %[[PLANNED]], %[[ROOM]] : index
  // CHECK: memref.view %{{.*}}[%[[START]]]
  func.func @main(%out: memref<f32>, %arena: memref<i8>) {
    %c256 = arith.constant 256 : index
    %c-1 = arith.constant -1 : index
    %bytes = memref.reinterpret_cast %arena to offset: [0], sizes: [%c-1], strides: [1] : memref<i8> to memref<?xi8>
    %ws = memref.view %bytes[%c256][] : memref<?xi8> to memref<i8>
    func.call @fill(%out, %ws) : (memref<f32>, memref<i8>) -> ()
    return
  }
}

