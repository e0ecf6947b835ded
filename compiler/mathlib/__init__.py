"""Branch-free elementary functions as arith code, for scalars and vectors of f32 and f64."""
