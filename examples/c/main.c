/* Calls functions that were written in Python. Build it with the CMakeLists.txt or meson.build beside it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

/* A parallel-for: here one "thread" after the other, elsewhere OpenMP, a thread pool, Grand Central Dispatch. */
static void in_two_halves(void *user, int64_t count, phalanx_task task, void *context) {
  int64_t *calls = user;
  ++*calls;
  task(context, count / 2, count, 1);
  task(context, 0, count / 2, 0);
}

static int check(int32_t status, const char *what) {
  if (status == PHALANX_OK) return 1;
  fprintf(stderr, "%s: %s\n", what, normalize_status_text(status));
  return 0;
}

static float *filled(int64_t count, float step) {
  float *data = malloc(sizeof(float) * (size_t)count);
  int64_t i;
  if (!data) exit(2);
  for (i = 0; i < count; ++i) data[i] = (float)sin((double)i * step);
  return data;
}

int main(int argc, char **argv) {
  int64_t n = argc > 1 ? atoll(argv[1]) : 4, k = 10, m = 7;
  int64_t shape[2], i, j, calls = 0;

  /* The simple form: inputs, outputs, named sizes. */
  float *x = filled(n * k, 0.7f), *y = filled(n * k, 0);
  if (!check(normalize(x, y, n, k), "normalize")) return 1;
  for (i = 0; i < n; ++i) {
    double sum = 0;
    for (j = 0; j < k; ++j) sum += y[i * k + j];
    if (fabs(sum - 1) > 1e-5) return 3;
  }

  /* The explicit form: scratch memory and threads are the caller's. */
  if (!check(attention_out_shape(n, m, shape), "attention_out_shape")) return 1;
  {
    float *query = filled(n * 64, 0.1f), *key = filled(m * 64, 0.2f), *value = filled(m * 64, 0.3f);
    float *out = filled(shape[0] * shape[1], 0), *same = filled(shape[0] * shape[1], 0);
    int64_t bytes = attention_arena_bytes(n, m);
    void *arena = malloc((size_t)bytes + 1);
    if (bytes < 0 || !arena) return 4;
    if (!check(attention(query, key, value, out, n, m), "attention")) return 1;
    if (!check(attention_ex(query, key, value, same, n, m, arena, bytes, in_two_halves, &calls), "attention_ex")) return 1;
    for (i = 0; i < shape[0] * shape[1]; ++i)
      if (out[i] != same[i]) return 5;
    printf("shape %lld %lld, first %.6f, last %.6f\n", (long long)shape[0], (long long)shape[1],
           n ? out[0] : 0.0, n ? out[n * 64 - 1] : 0.0);
    /* What is wrong comes back as a status; nothing is ever printed or aborted. */
    printf("%s; ", attention_status_text(attention(query, key, value, out, -1, m)));
    printf("%s; ", attention_status_text(attention(query, key, value, query, n, m)));
    printf("%s\n", attention_status_text(attention_ex(query, key, value, out, n, m, arena, 1, 0, 0)));
    free(query), free(key), free(value), free(out), free(same), free(arena);
  }
  free(x), free(y);
  return 0;
}
