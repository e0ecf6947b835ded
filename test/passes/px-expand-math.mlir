// RUN: phalanx-opt %s --px-expand-math | FileCheck %s
// RUN: phalanx-opt %s --pass-pipeline='px-expand-math{fma=false}' | FileCheck %s --check-prefix=PLAIN

// No function is left, and without fused multiply-add none is made.
// CHECK-LABEL: func.func @scalar
// CHECK-NOT: math.exp
// CHECK: math.fma
// CHECK-NOT: math.exp
// CHECK: return
// PLAIN-LABEL: func.func @scalar
// PLAIN-NOT: math.
// PLAIN: return
func.func @scalar(%x: f32) -> f32 {
  %0 = math.exp %x : f32
  return %0 : f32
}

// Vectors stay vectors.
// CHECK-LABEL: func.func @vector
// CHECK: arith.bitcast %{{.*}} : vector<8xf32> to vector<8xi32>
// CHECK-NOT: math.log
// CHECK: return %{{.*}} : vector<8xf32>
func.func @vector(%x: vector<8xf32>) -> vector<8xf32> {
  %0 = math.log %x : vector<8xf32>
  return %0 : vector<8xf32>
}

// Half precision is computed in f32.
// CHECK-LABEL: func.func @half
// CHECK: arith.extf %arg0 : f16 to f32
// CHECK: %[[R:.*]] = arith.truncf %{{.*}} : f32 to f16
// CHECK: return %[[R]]
func.func @half(%x: f16) -> f16 {
  %0 = math.tanh %x : f16
  return %0 : f16
}

// A fused multiply-add of the program's own is one instruction, or rounded once with the help of f64.
// CHECK-LABEL: func.func @fused
// CHECK: math.fma
// PLAIN-LABEL: func.func @fused
// PLAIN-NOT: math.
// PLAIN: arith.mulf %{{.*}} : vector<4xf64>
// PLAIN: return
func.func @fused(%x: vector<4xf32>, %y: vector<4xf32>) -> vector<4xf32> {
  %0 = math.fma %x, %x, %y : vector<4xf32>
  return %0 : vector<4xf32>
}

// Functions with an instruction stay.
// CHECK-LABEL: func.func @native
// CHECK: math.sqrt
// CHECK: math.floor
// CHECK: math.ctpop
func.func @native(%x: f32, %n: i32) -> (f32, i32) {
  %0 = math.sqrt %x : f32
  %1 = math.floor %0 : f32
  %2 = math.ctpop %n : i32
  return %1, %2 : f32, i32
}
