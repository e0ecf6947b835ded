// RUN: phalanx-opt --pass-pipeline='builtin.module(px-fast-math{flags=nnan+ninf+arcp})' %s | FileCheck %s

// CHECK-LABEL: func.func @all
func.func @all(%x: f32, %y: f32, %n: i32) -> (f32, i1, i32) {
  // CHECK: arith.addf %{{.*}} fastmath<nnan,ninf,arcp> : f32
  %0 = arith.addf %x, %y : f32
  // CHECK: arith.mulf %{{.*}} fastmath<reassoc,nnan,ninf,arcp> : f32
  %1 = arith.mulf %0, %y fastmath<reassoc> : f32
  // CHECK: math.exp %{{.*}} fastmath<nnan,ninf,arcp> : f32
  %2 = math.exp %1 : f32
  // A reduction starts from an infinity.
  // CHECK: arith.maximumf %{{.*}} fastmath<nnan,nsz,arcp> : f32
  %3 = arith.maximumf %2, %y fastmath<nsz> : f32
  // CHECK: arith.cmpf olt, %{{.*}} fastmath<nnan,ninf,arcp> : f32
  %4 = arith.cmpf olt, %3, %y : f32
  // CHECK: arith.addi %{{.*}} : i32
  %5 = arith.addi %n, %n : i32
  return %3, %4, %5 : f32, i1, i32
}
