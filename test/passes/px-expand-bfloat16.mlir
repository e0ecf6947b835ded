// RUN: phalanx-opt --px-expand-bfloat16 %s | FileCheck %s

// CHECK-LABEL: func.func @narrow(
// CHECK-SAME:    %[[X:.*]]: f32) -> bf16
// CHECK:         %[[BITS:.*]] = arith.bitcast %[[X]] : f32 to i32
// CHECK:         %[[HIGH:.*]] = arith.shrui %[[BITS]]
// CHECK:         %[[ROUNDED:.*]] = arith.shrui
// CHECK:         %[[QUIET:.*]] = arith.ori %[[HIGH]]
// CHECK:         %[[NAN:.*]] = arith.cmpf uno, %[[X]], %[[X]]
// CHECK:         %[[CHOSEN:.*]] = arith.select %[[NAN]], %[[QUIET]], %[[ROUNDED]]
// CHECK:         arith.trunci %[[CHOSEN]] : i32 to i16
// CHECK:         arith.bitcast %{{.*}} : i16 to bf16
// CHECK-NOT:     arith.truncf
func.func @narrow(%x: f32) -> bf16 {
  %y = arith.truncf %x : f32 to bf16
  return %y : bf16
}

// CHECK-LABEL: func.func @vectors(
// CHECK:         arith.bitcast %{{.*}} : vector<8xbf16> to vector<8xi16>
// CHECK:         arith.extui %{{.*}} : vector<8xi16> to vector<8xi32>
// CHECK:         arith.addf %{{.*}} : vector<8xf32>
// CHECK:         arith.trunci %{{.*}} : vector<8xi32> to vector<8xi16>
// CHECK-NOT:     arith.{{truncf|extf}}
func.func @vectors(%x: vector<8xbf16>) -> vector<8xbf16> {
  %wide = arith.extf %x : vector<8xbf16> to vector<8xf32>
  %sum = arith.addf %wide, %wide : vector<8xf32>
  %narrow = arith.truncf %sum : vector<8xf32> to vector<8xbf16>
  return %narrow : vector<8xbf16>
}

// What is not f32 <-> bf16 stays, the NaN-propagating maximum above all.
// CHECK-LABEL: func.func @others(
// CHECK:         arith.truncf %{{.*}} : f64 to bf16
// CHECK:         arith.extf %{{.*}} : f16 to f32
// CHECK:         arith.maximumf
func.func @others(%x: f64, %y: f16, %z: f32) -> (bf16, f32) {
  %a = arith.truncf %x : f64 to bf16
  %b = arith.extf %y : f16 to f32
  %c = arith.maximumf %b, %z : f32
  return %a, %c : bf16, f32
}
