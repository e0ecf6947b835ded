// RUN: phalanx-opt %s --px-split-pieces --split-input-file | FileCheck %s

// The sum of both neighbours, zeros around: two ends of one element each, and a middle that reads x alone.
// CHECK-LABEL: func.func @padded
// CHECK-NOT: tensor<8194xf32>
// CHECK-DAG: tensor.extract_slice %[[X:.*]][0] [8190] [1]
// CHECK-DAG: tensor.extract_slice %[[X]][2] [8190] [1]
// CHECK-DAG: linalg.fill {{.*}} -> tensor<1xf32>
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<8190xf32>)
// CHECK: tensor.insert_slice {{.*}}[0] [1] [1]
// CHECK: tensor.insert_slice {{.*}}[1] [8190] [1]
// CHECK: tensor.insert_slice {{.*}}[8191] [1] [1]
#map = affine_map<(d0) -> (d0)>
func.func @padded(%x: tensor<8192xf32>) -> tensor<8192xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8194xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8194xf32>) -> tensor<8194xf32>
  %p = tensor.insert_slice %x into %f[1] [8192] [1] : tensor<8192xf32> into tensor<8194xf32>
  %l = tensor.extract_slice %p[0] [8192] [1] : tensor<8194xf32> to tensor<8192xf32>
  %r = tensor.extract_slice %p[2] [8192] [1] : tensor<8194xf32> to tensor<8192xf32>
  %o = tensor.empty() : tensor<8192xf32>
  %y = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel"]}
      ins(%l, %r : tensor<8192xf32>, tensor<8192xf32>) outs(%o : tensor<8192xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<8192xf32>
  return %y : tensor<8192xf32>
}

// -----

// Rolled by one, then combined with an op on the whole: both ops are cut at the same place.
// CHECK-LABEL: func.func @rolled
// CHECK: %[[A:.*]] = linalg.generic {{.*}} outs({{.*}} : tensor<1xf32>)
// CHECK: %[[B:.*]] = linalg.generic {{.*}} outs({{.*}} : tensor<8191xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[A]], {{.*}} outs({{.*}} : tensor<1xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[B]], {{.*}} outs({{.*}} : tensor<8191xf32>)
// CHECK-NOT: outs({{.*}} : tensor<8192xf32>)
#map = affine_map<(d0) -> (d0)>
func.func @rolled(%x: tensor<8192xf32>) -> tensor<8192xf32> {
  %o = tensor.empty() : tensor<8192xf32>
  %first = tensor.extract_slice %x[8191] [1] [1] : tensor<8192xf32> to tensor<1xf32>
  %rest = tensor.extract_slice %x[0] [8191] [1] : tensor<8192xf32> to tensor<8191xf32>
  %h = tensor.insert_slice %first into %o[0] [1] [1] : tensor<1xf32> into tensor<8192xf32>
  %p = tensor.insert_slice %rest into %h[1] [8191] [1] : tensor<8191xf32> into tensor<8192xf32>
  %n = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]}
      ins(%x : tensor<8192xf32>) outs(%o : tensor<8192xf32>) {
  ^bb0(%a: f32, %c: f32):
    %s = arith.negf %a : f32
    linalg.yield %s : f32
  } -> tensor<8192xf32>
  %y = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel"]}
      ins(%n, %p : tensor<8192xf32>, tensor<8192xf32>) outs(%o : tensor<8192xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<8192xf32>
  return %y : tensor<8192xf32>
}

// -----

// The padded tensor is a result: it is written anyway, so its reader stays whole.
// CHECK-LABEL: func.func @wanted
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<8194xf32>)
#map = affine_map<(d0) -> (d0)>
func.func @wanted(%x: tensor<8192xf32>) -> (tensor<8194xf32>, tensor<8194xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8194xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8194xf32>) -> tensor<8194xf32>
  %p = tensor.insert_slice %x into %f[1] [8192] [1] : tensor<8192xf32> into tensor<8194xf32>
  %y = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]}
      ins(%p : tensor<8194xf32>) outs(%e : tensor<8194xf32>) {
  ^bb0(%a: f32, %c: f32):
    %s = arith.negf %a : f32
    linalg.yield %s : f32
  } -> tensor<8194xf32>
  return %p, %y : tensor<8194xf32>, tensor<8194xf32>
}

// -----

// Too small for parts to pay.
// CHECK-LABEL: func.func @small
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<10xf32>)
#map = affine_map<(d0) -> (d0)>
func.func @small(%x: tensor<8xf32>) -> tensor<10xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<10xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<10xf32>) -> tensor<10xf32>
  %p = tensor.insert_slice %x into %f[1] [8] [1] : tensor<8xf32> into tensor<10xf32>
  %y = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]}
      ins(%p : tensor<10xf32>) outs(%e : tensor<10xf32>) {
  ^bb0(%a: f32, %c: f32):
    %s = arith.negf %a : f32
    linalg.yield %s : f32
  } -> tensor<10xf32>
  return %y : tensor<10xf32>
}
