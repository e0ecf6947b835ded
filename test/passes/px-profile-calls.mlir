// RUN: phalanx-opt %s --px-profile-calls | FileCheck %s

// The time is taken before each call of a cluster, in loops too, and noted after it with the number of the call.
// CHECK: module attributes {px.profile_sites = ["first", "second", "first"]}
// CHECK-DAG: func.func private @px_profile_now() -> i64
// CHECK-DAG: func.func private @px_profile_note(i64, i64)

// CHECK-LABEL: func.func @main
func.func @main(%a: memref<i8>, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  // CHECK: %[[START:.*]] = call @px_profile_now
  // CHECK-NEXT: %[[SITE:.*]] = arith.constant 0 : i64
  // CHECK-NEXT: call @first
  // CHECK-NEXT: call @px_profile_note(%[[SITE]], %[[START]])
  call @first(%a) : (memref<i8>) -> ()
  // CHECK: scf.for
  scf.for %i = %zero to %n step %one {
    // CHECK: call @px_profile_now
    // CHECK: arith.constant 1 : i64
    // CHECK: call @second
    // CHECK-NEXT: call @px_profile_note
    func.call @second(%a) : (memref<i8>) -> ()
  }
  // CHECK: arith.constant 2 : i64
  // CHECK-NEXT: call @first
  call @first(%a) : (memref<i8>) -> ()
  return
}

// What a cluster calls is part of it.
// CHECK-LABEL: func.func private @first
// CHECK-NOT: px_profile
func.func private @first(%a: memref<i8>) attributes {px.cluster = "elementwise"} {
  func.call @second(%a) : (memref<i8>) -> ()
  return
}
func.func private @second(%a: memref<i8>) attributes {px.cluster = "elementwise"} {
  return
}
