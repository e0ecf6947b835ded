// Written by `make docs` from the op definitions in dialects/px/; edit those.

irdl.dialect @px {
  irdl.operation @abs {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @acos {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @acosh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @add {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @all {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims }
  }
  irdl.operation @any {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims }
  }
  irdl.operation @argmax {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims, "dtype" = %attr_dtype }
  }
  irdl.operation @argmin {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims, "dtype" = %attr_dtype }
  }
  irdl.operation @asin {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @asinh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @atan {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @atan2 {
    %y = irdl.base "!builtin.tensor"
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(y: %y, x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @atanh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @bitcast {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "dtype" = %attr_dtype }
  }
  irdl.operation @bitwise_and {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @bitwise_invert {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @bitwise_left_shift {
    %x = irdl.base "!builtin.tensor"
    %amount = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, amount: %amount)
    irdl.results(result: %result)
  }
  irdl.operation @bitwise_or {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @bitwise_right_shift {
    %x = irdl.base "!builtin.tensor"
    %amount = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, amount: %amount)
    irdl.results(result: %result)
  }
  irdl.operation @bitwise_xor {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @broadcast {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_shape = irdl.any
    %attr_axes = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "shape" = %attr_shape, "axes" = %attr_axes }
  }
  irdl.operation @cbrt {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @ceil {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @concatenate {
    %tensors_0 = irdl.base "!builtin.tensor"
    %tensors_1 = irdl.base "!builtin.tensor"
    %tensors_2 = irdl.base "!builtin.tensor"
    %tensors_3 = irdl.base "!builtin.tensor"
    %tensors_4 = irdl.base "!builtin.tensor"
    %tensors_5 = irdl.base "!builtin.tensor"
    %tensors_6 = irdl.base "!builtin.tensor"
    %tensors_7 = irdl.base "!builtin.tensor"
    %tensors_8 = irdl.base "!builtin.tensor"
    %tensors_9 = irdl.base "!builtin.tensor"
    %tensors_10 = irdl.base "!builtin.tensor"
    %tensors_11 = irdl.base "!builtin.tensor"
    %tensors_12 = irdl.base "!builtin.tensor"
    %tensors_13 = irdl.base "!builtin.tensor"
    %tensors_14 = irdl.base "!builtin.tensor"
    %tensors_15 = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axis = irdl.any
    irdl.operands(tensors_0: optional %tensors_0, tensors_1: optional %tensors_1, tensors_2: optional %tensors_2, tensors_3: optional %tensors_3, tensors_4: optional %tensors_4, tensors_5: optional %tensors_5, tensors_6: optional %tensors_6, tensors_7: optional %tensors_7, tensors_8: optional %tensors_8, tensors_9: optional %tensors_9, tensors_10: optional %tensors_10, tensors_11: optional %tensors_11, tensors_12: optional %tensors_12, tensors_13: optional %tensors_13, tensors_14: optional %tensors_14, tensors_15: optional %tensors_15)
    irdl.results(result: %result)
    irdl.attributes { "axis" = %attr_axis }
  }
  irdl.operation @constant {
    %result = irdl.base "!builtin.tensor"
    %attr_value = irdl.any
    irdl.results(result: %result)
    irdl.attributes { "value" = %attr_value }
  }
  irdl.operation @convert {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "dtype" = %attr_dtype }
  }
  irdl.operation @copysign {
    %x = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, y: %y)
    irdl.results(result: %result)
  }
  irdl.operation @cos {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @cosh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @count_leading_zeros {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @cumulative {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axis = irdl.any
    %attr_combine = irdl.any
    %attr_reverse = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axis" = %attr_axis, "combine" = %attr_combine, "reverse" = %attr_reverse }
  }
  irdl.operation @dim_size {
    %result = irdl.base "!builtin.tensor"
    %attr_size = irdl.any
    %attr_dtype = irdl.any
    irdl.results(result: %result)
    irdl.attributes { "size" = %attr_size, "dtype" = %attr_dtype }
  }
  irdl.operation @divide {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @dot_general {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_contract = irdl.any
    %attr_batch_axes = irdl.any
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
    irdl.attributes { "contract" = %attr_contract, "batch_axes" = %attr_batch_axes }
  }
  irdl.operation @dynamic_slice {
    %x = irdl.base "!builtin.tensor"
    %starts_0 = irdl.base "!builtin.tensor"
    %starts_1 = irdl.base "!builtin.tensor"
    %starts_2 = irdl.base "!builtin.tensor"
    %starts_3 = irdl.base "!builtin.tensor"
    %starts_4 = irdl.base "!builtin.tensor"
    %starts_5 = irdl.base "!builtin.tensor"
    %starts_6 = irdl.base "!builtin.tensor"
    %starts_7 = irdl.base "!builtin.tensor"
    %starts_8 = irdl.base "!builtin.tensor"
    %starts_9 = irdl.base "!builtin.tensor"
    %starts_10 = irdl.base "!builtin.tensor"
    %starts_11 = irdl.base "!builtin.tensor"
    %starts_12 = irdl.base "!builtin.tensor"
    %starts_13 = irdl.base "!builtin.tensor"
    %starts_14 = irdl.base "!builtin.tensor"
    %starts_15 = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_sizes = irdl.any
    irdl.operands(x: %x, starts_0: optional %starts_0, starts_1: optional %starts_1, starts_2: optional %starts_2, starts_3: optional %starts_3, starts_4: optional %starts_4, starts_5: optional %starts_5, starts_6: optional %starts_6, starts_7: optional %starts_7, starts_8: optional %starts_8, starts_9: optional %starts_9, starts_10: optional %starts_10, starts_11: optional %starts_11, starts_12: optional %starts_12, starts_13: optional %starts_13, starts_14: optional %starts_14, starts_15: optional %starts_15)
    irdl.results(result: %result)
    irdl.attributes { "sizes" = %attr_sizes }
  }
  irdl.operation @dynamic_update_slice {
    %x = irdl.base "!builtin.tensor"
    %update = irdl.base "!builtin.tensor"
    %starts_0 = irdl.base "!builtin.tensor"
    %starts_1 = irdl.base "!builtin.tensor"
    %starts_2 = irdl.base "!builtin.tensor"
    %starts_3 = irdl.base "!builtin.tensor"
    %starts_4 = irdl.base "!builtin.tensor"
    %starts_5 = irdl.base "!builtin.tensor"
    %starts_6 = irdl.base "!builtin.tensor"
    %starts_7 = irdl.base "!builtin.tensor"
    %starts_8 = irdl.base "!builtin.tensor"
    %starts_9 = irdl.base "!builtin.tensor"
    %starts_10 = irdl.base "!builtin.tensor"
    %starts_11 = irdl.base "!builtin.tensor"
    %starts_12 = irdl.base "!builtin.tensor"
    %starts_13 = irdl.base "!builtin.tensor"
    %starts_14 = irdl.base "!builtin.tensor"
    %starts_15 = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, update: %update, starts_0: optional %starts_0, starts_1: optional %starts_1, starts_2: optional %starts_2, starts_3: optional %starts_3, starts_4: optional %starts_4, starts_5: optional %starts_5, starts_6: optional %starts_6, starts_7: optional %starts_7, starts_8: optional %starts_8, starts_9: optional %starts_9, starts_10: optional %starts_10, starts_11: optional %starts_11, starts_12: optional %starts_12, starts_13: optional %starts_13, starts_14: optional %starts_14, starts_15: optional %starts_15)
    irdl.results(result: %result)
  }
  irdl.operation @equal {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @erf {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @erfc {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @erfinv {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @exp {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @exp2 {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @expm1 {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @floor {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @floor_divide {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @fmod {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @full {
    %value = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_shape = irdl.any
    irdl.operands(value: %value)
    irdl.results(result: %result)
    irdl.attributes { "shape" = %attr_shape }
  }
  irdl.operation @gather {
    %x = irdl.base "!builtin.tensor"
    %indices_0 = irdl.base "!builtin.tensor"
    %indices_1 = irdl.base "!builtin.tensor"
    %indices_2 = irdl.base "!builtin.tensor"
    %indices_3 = irdl.base "!builtin.tensor"
    %indices_4 = irdl.base "!builtin.tensor"
    %indices_5 = irdl.base "!builtin.tensor"
    %indices_6 = irdl.base "!builtin.tensor"
    %indices_7 = irdl.base "!builtin.tensor"
    %indices_8 = irdl.base "!builtin.tensor"
    %indices_9 = irdl.base "!builtin.tensor"
    %indices_10 = irdl.base "!builtin.tensor"
    %indices_11 = irdl.base "!builtin.tensor"
    %indices_12 = irdl.base "!builtin.tensor"
    %indices_13 = irdl.base "!builtin.tensor"
    %indices_14 = irdl.base "!builtin.tensor"
    %indices_15 = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    irdl.operands(x: %x, indices_0: optional %indices_0, indices_1: optional %indices_1, indices_2: optional %indices_2, indices_3: optional %indices_3, indices_4: optional %indices_4, indices_5: optional %indices_5, indices_6: optional %indices_6, indices_7: optional %indices_7, indices_8: optional %indices_8, indices_9: optional %indices_9, indices_10: optional %indices_10, indices_11: optional %indices_11, indices_12: optional %indices_12, indices_13: optional %indices_13, indices_14: optional %indices_14, indices_15: optional %indices_15)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes }
  }
  irdl.operation @greater {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @greater_equal {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @host_call {
    %values_0 = irdl.base "!builtin.tensor"
    %values_1 = irdl.base "!builtin.tensor"
    %values_2 = irdl.base "!builtin.tensor"
    %values_3 = irdl.base "!builtin.tensor"
    %values_4 = irdl.base "!builtin.tensor"
    %values_5 = irdl.base "!builtin.tensor"
    %values_6 = irdl.base "!builtin.tensor"
    %values_7 = irdl.base "!builtin.tensor"
    %values_8 = irdl.base "!builtin.tensor"
    %values_9 = irdl.base "!builtin.tensor"
    %values_10 = irdl.base "!builtin.tensor"
    %values_11 = irdl.base "!builtin.tensor"
    %values_12 = irdl.base "!builtin.tensor"
    %values_13 = irdl.base "!builtin.tensor"
    %values_14 = irdl.base "!builtin.tensor"
    %values_15 = irdl.base "!builtin.tensor"
    %attr_site = irdl.any
    %attr_label = irdl.any
    irdl.operands(values_0: optional %values_0, values_1: optional %values_1, values_2: optional %values_2, values_3: optional %values_3, values_4: optional %values_4, values_5: optional %values_5, values_6: optional %values_6, values_7: optional %values_7, values_8: optional %values_8, values_9: optional %values_9, values_10: optional %values_10, values_11: optional %values_11, values_12: optional %values_12, values_13: optional %values_13, values_14: optional %values_14, values_15: optional %values_15)
    irdl.attributes { "site" = %attr_site, "label" = %attr_label }
  }
  irdl.operation @hypot {
    %x = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, y: %y)
    irdl.results(result: %result)
  }
  irdl.operation @iota {
    %result = irdl.base "!builtin.tensor"
    %attr_shape = irdl.any
    %attr_axis = irdl.any
    %attr_dtype = irdl.any
    irdl.results(result: %result)
    irdl.attributes { "shape" = %attr_shape, "axis" = %attr_axis, "dtype" = %attr_dtype }
  }
  irdl.operation @isfinite {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @isinf {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @isnan {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @less {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @less_equal {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @log {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @log10 {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @log1p {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @log2 {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @logical_and {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @logical_not {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @logical_or {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @logical_xor {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @max {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims }
  }
  irdl.operation @maximum {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @min {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims }
  }
  irdl.operation @minimum {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @multiply {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @negative {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @nextafter {
    %x = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x, y: %y)
    irdl.results(result: %result)
  }
  irdl.operation @not_equal {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @pad {
    %x = irdl.base "!builtin.tensor"
    %value = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_low = irdl.any
    %attr_high = irdl.any
    %attr_interior = irdl.any
    irdl.operands(x: %x, value: %value)
    irdl.results(result: %result)
    irdl.attributes { "low" = %attr_low, "high" = %attr_high, "interior" = %attr_interior }
  }
  irdl.operation @population_count {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @positive {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @power {
    %base = irdl.base "!builtin.tensor"
    %exponent = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(base: %base, exponent: %exponent)
    irdl.results(result: %result)
  }
  irdl.operation @prod {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims, "dtype" = %attr_dtype }
  }
  irdl.operation @quotient {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @reciprocal {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @remainder {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @reshape {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_shape = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "shape" = %attr_shape }
  }
  irdl.operation @reverse {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes }
  }
  irdl.operation @round {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @rsqrt {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @scatter {
    %x = irdl.base "!builtin.tensor"
    %updates = irdl.base "!builtin.tensor"
    %indices_0 = irdl.base "!builtin.tensor"
    %indices_1 = irdl.base "!builtin.tensor"
    %indices_2 = irdl.base "!builtin.tensor"
    %indices_3 = irdl.base "!builtin.tensor"
    %indices_4 = irdl.base "!builtin.tensor"
    %indices_5 = irdl.base "!builtin.tensor"
    %indices_6 = irdl.base "!builtin.tensor"
    %indices_7 = irdl.base "!builtin.tensor"
    %indices_8 = irdl.base "!builtin.tensor"
    %indices_9 = irdl.base "!builtin.tensor"
    %indices_10 = irdl.base "!builtin.tensor"
    %indices_11 = irdl.base "!builtin.tensor"
    %indices_12 = irdl.base "!builtin.tensor"
    %indices_13 = irdl.base "!builtin.tensor"
    %indices_14 = irdl.base "!builtin.tensor"
    %indices_15 = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_combine = irdl.any
    %attr_mode = irdl.any
    irdl.operands(x: %x, updates: %updates, indices_0: optional %indices_0, indices_1: optional %indices_1, indices_2: optional %indices_2, indices_3: optional %indices_3, indices_4: optional %indices_4, indices_5: optional %indices_5, indices_6: optional %indices_6, indices_7: optional %indices_7, indices_8: optional %indices_8, indices_9: optional %indices_9, indices_10: optional %indices_10, indices_11: optional %indices_11, indices_12: optional %indices_12, indices_13: optional %indices_13, indices_14: optional %indices_14, indices_15: optional %indices_15)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "combine" = %attr_combine, "mode" = %attr_mode }
  }
  irdl.operation @select {
    %condition = irdl.base "!builtin.tensor"
    %yes = irdl.base "!builtin.tensor"
    %no = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(condition: %condition, yes: %yes, no: %no)
    irdl.results(result: %result)
  }
  irdl.operation @sigmoid {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @sign {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @signbit {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @sin {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @sinh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @slice {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_start = irdl.any
    %attr_limit = irdl.any
    %attr_strides = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "start" = %attr_start, "limit" = %attr_limit, "strides" = %attr_strides }
  }
  irdl.operation @sqrt {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @stop_gradient {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @subtract {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
  }
  irdl.operation @sum {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_keepdims = irdl.any
    %attr_dtype = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "keepdims" = %attr_keepdims, "dtype" = %attr_dtype }
  }
  irdl.operation @tan {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @tanh {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @threefry2x32 {
    %key0 = irdl.base "!builtin.tensor"
    %key1 = irdl.base "!builtin.tensor"
    %count0 = irdl.base "!builtin.tensor"
    %count1 = irdl.base "!builtin.tensor"
    %result0 = irdl.base "!builtin.tensor"
    %result1 = irdl.base "!builtin.tensor"
    irdl.operands(key0: %key0, key1: %key1, count0: %count0, count1: %count1)
    irdl.results(result0: %result0, result1: %result1)
  }
  irdl.operation @transpose {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes }
  }
  irdl.operation @trunc {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    irdl.operands(x: %x)
    irdl.results(result: %result)
  }
  irdl.operation @window_product {
    %lhs = irdl.base "!builtin.tensor"
    %rhs = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_left = irdl.any
    %attr_inner = irdl.any
    %attr_strides = irdl.any
    %attr_dilations = irdl.any
    %attr_right = irdl.any
    %attr_rank = irdl.any
    irdl.operands(lhs: %lhs, rhs: %rhs)
    irdl.results(result: %result)
    irdl.attributes { "left" = %attr_left, "inner" = %attr_inner, "strides" = %attr_strides, "dilations" = %attr_dilations, "right" = %attr_right, "rank" = %attr_rank }
  }
  irdl.operation @windows {
    %x = irdl.base "!builtin.tensor"
    %result = irdl.base "!builtin.tensor"
    %attr_axes = irdl.any
    %attr_sizes = irdl.any
    %attr_strides = irdl.any
    %attr_dilations = irdl.any
    irdl.operands(x: %x)
    irdl.results(result: %result)
    irdl.attributes { "axes" = %attr_axes, "sizes" = %attr_sizes, "strides" = %attr_strides, "dilations" = %attr_dilations }
  }
}
