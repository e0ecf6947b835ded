// RUN: phalanx-opt %s --px-loop-ranges --canonicalize | FileCheck %s

// An index that would count from the end, and stays inside: the counter itself, one further on too.
// CHECK-LABEL: func.func @main
// CHECK: scf.for %[[I:[a-z0-9]+]] =
// CHECK-NOT: arith.select
// CHECK-NOT: arith.minsi
// CHECK-NOT: arith.maxsi
// CHECK: memref.load %arg0
// CHECK: arith.addi
// CHECK-NOT: arith.minsi
// CHECK: memref.store %{{.*}}, %arg0
// What the counter does not settle stays: a bound inside of its range, sums that may wrap, numbers from memory.
// CHECK: arith.minsi {{.*}}, %c298 : index
// CHECK: arith.addi {{.*}} : i8
// CHECK: arith.cmpi slt
// CHECK: arith.maxsi
// CHECK: scf.for
// CHECK: arith.maxsi
func.func @main(%x: memref<301xi32>, %bytes: memref<301xi8>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c300 = arith.constant 300 : index
  %c298 = arith.constant 298 : index
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %size = arith.constant 301 : i32
  %hundred = arith.constant 100 : i8
  %none = arith.constant 0 : i8
  scf.for %i = %c0 to %c300 step %c1 {
    %wide = arith.index_cast %i : index to i64
    %j = arith.trunci %wide : i64 to i32
    %below = arith.cmpi slt, %j, %zero : i32
    %from_end = arith.addi %j, %size : i32
    %wrapped = arith.select %below, %from_end, %j : i32
    %at = arith.index_cast %wrapped : i32 to index
    %most = arith.minsi %at, %c300 : index
    %inside = arith.maxsi %most, %c0 : index
    %value = memref.load %x[%inside] : memref<301xi32>
    %k = arith.addi %j, %one : i32
    %after = arith.index_cast %k : i32 to index
    %bounded = arith.minsi %after, %c300 : index
    memref.store %value, %x[%bounded] : memref<301xi32>
    %less = arith.minsi %i, %c298 : index
    memref.store %value, %x[%less] : memref<301xi32>
    %byte = memref.load %bytes[%i] : memref<301xi8>
    %more = arith.addi %byte, %hundred : i8
    %negative = arith.cmpi slt, %more, %none : i8
    %flag = arith.extui %negative : i1 to i8
    memref.store %flag, %bytes[%i] : memref<301xi8>
    %read = arith.index_cast %value : i32 to index
    %kept = arith.maxsi %read, %c0 : index
    memref.store %one, %x[%kept] : memref<301xi32>
  }
  scf.for %i = %n to %c300 step %c1 {
    %kept = arith.maxsi %i, %c0 : index
    memref.store %one, %x[%kept] : memref<301xi32>
  }
  return
}
