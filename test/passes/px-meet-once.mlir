// RUN: phalanx-opt --px-meet-once --split-input-file %s | FileCheck %s

// The end of the region is the barrier of a loop that is all it does.
// CHECK-LABEL: func.func @alone(
// CHECK:         omp.parallel
// CHECK-NEXT:      omp.wsloop nowait
func.func @alone(%low: index, %high: index, %step: index, %to: memref<?xindex>) {
  omp.parallel {
    omp.wsloop {
      omp.loop_nest (%i) : index = (%low) to (%high) step (%step) {
        memref.store %i, %to[%i] : memref<?xindex>
        omp.yield
      }
    }
    omp.terminator
  }
  return
}

// -----

// What follows may read what the loop of another thread wrote.
// CHECK-LABEL: func.func @followed(
// CHECK:         omp.parallel
// CHECK-NEXT:      omp.wsloop {
// CHECK:         omp.wsloop {
func.func @followed(%low: index, %high: index, %step: index, %to: memref<?xindex>) {
  omp.parallel {
    omp.wsloop {
      omp.loop_nest (%i) : index = (%low) to (%high) step (%step) {
        memref.store %i, %to[%i] : memref<?xindex>
        omp.yield
      }
    }
    omp.wsloop {
      omp.loop_nest (%i) : index = (%low) to (%high) step (%step) {
        %last = memref.load %to[%low] : memref<?xindex>
        memref.store %last, %to[%i] : memref<?xindex>
        omp.yield
      }
    }
    omp.terminator
  }
  return
}
