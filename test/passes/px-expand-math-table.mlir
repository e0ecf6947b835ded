// RUN: phalanx-opt %s --px-expand-math | FileCheck %s

// sin and cos of f64 share one table of 1 / (2 pi).
// CHECK-COUNT-1: memref.global "private" constant @px_turns : memref<256xf64>
// CHECK-NOT: memref.global
// CHECK-LABEL: func.func @both
// CHECK: memref.get_global @px_turns
// CHECK-NOT: math.sin
// CHECK-NOT: math.cos
func.func @both(%x: f64) -> (f64, f64) {
  %0 = math.sin %x : f64
  %1 = math.cos %x : f64
  return %0, %1 : f64, f64
}

// CHECK-LABEL: func.func @lanes
// CHECK-COUNT-4: vector.gather
func.func @lanes(%x: vector<2x4xf64>) -> vector<2x4xf64> {
  %0 = math.sin %x : vector<2x4xf64>
  return %0 : vector<2x4xf64>
}
