/* Kernels that measure a processor; compiled on the host by perfmodel.calibrate.probe.

   probe features                                   one name a line: what this processor can run
   probe KERNEL BYTES THREADS TRIALS SECONDS        one figure a line, a line a trial

   Figures are work a second, summed over the threads: operations (fma, add, dot), bytes moved
   (read, write, copy, triad; a written line counts once), links followed (chase), operations that
   wait for each other (clock: additions of integers; wait: multiply-accumulates). A trial lasts about SECONDS. Only C99, pthreads, and the vector
   types of gcc and clang are used. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define BARRIER __asm__ volatile("" ::: "memory")
typedef double (*kernel)(char *memory, size_t bytes, long turns); /* work of a turn */
static volatile double sink;

/* -- arithmetic: chains of dependent operations, enough to fill units times latency ------------- */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#if defined(__aarch64__) /* four units of four clocks, and 32 registers */
#define CHAINS(X) TWELVE(X) X(12) X(13) X(14) X(15)
#define CHAIN_COUNT 16
#else
#define CHAINS(X) TWELVE(X)
#define CHAIN_COUNT 12
#endif
#define INNER 64
#define OPS(LANES, EACH) ((double)(LANES) * (EACH) * CHAIN_COUNT * INNER)
#define START(I) vector a##I = v[I];
#define FUSED(I) a##I = a##I * m + c;
#define ADDED(I) a##I += c;
#define SUM(I) c += a##I;
#define FLOATS(WIDTH, TARGET)                                                                      \
  typedef float floats##WIDTH __attribute__((vector_size(WIDTH / 8)));                             \
  TARGET static double fma_##WIDTH(char *memory, size_t bytes, long turns) {                       \
    typedef floats##WIDTH vector;                                                                  \
    const vector *v = (const vector *)memory;                                                      \
    vector m = v[0], c = v[1];                                                                     \
    (void)bytes;                                                                                   \
    CHAINS(START)                                                                                  \
    for (long i = 0; i < turns * INNER; i++) { CHAINS(FUSED) }                                     \
    CHAINS(SUM)                                                                                    \
    sink = c[0];                                                                                   \
    return OPS(WIDTH / 32, 2);                                                                     \
  }                                                                                                \
  TARGET static double wait_##WIDTH(char *memory, size_t bytes, long turns) {                      \
    typedef floats##WIDTH vector;                                                                  \
    const vector *v = (const vector *)memory;                                                      \
    vector m = v[0], c = v[1], a0 = v[2];                                                          \
    (void)bytes;                                                                                   \
    for (long i = 0; i < turns * INNER; i++) { FUSED(0) }                                          \
    sink = a0[0];                                                                                  \
    return INNER;                                                                                  \
  }                                                                                                \
  TARGET static double add_##WIDTH(char *memory, size_t bytes, long turns) {                       \
    typedef floats##WIDTH vector;                                                                  \
    const vector *v = (const vector *)memory;                                                      \
    vector c = v[1];                                                                               \
    (void)bytes;                                                                                   \
    CHAINS(START)                                                                                  \
    for (long i = 0; i < turns * INNER; i++) { CHAINS(ADDED) }                                     \
    CHAINS(SUM)                                                                                    \
    sink = c[0];                                                                                   \
    return OPS(WIDTH / 32, 1);                                                                     \
  }

/* -- streams: eight vectors a step; copy and triad split the memory into two and three arrays --- */
#define STREAMS(WIDTH, TARGET)                                                                     \
  typedef int ints##WIDTH __attribute__((vector_size(WIDTH / 8)));                                 \
  TARGET static double read_##WIDTH(char *memory, size_t bytes, long turns) {                        \
    ints##WIDTH s[8];                                                                              \
    memset(s, 0, sizeof s);                                                                        \
    ints##WIDTH s0 = s[0], s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;          \
    const size_t n = bytes / sizeof s0 / 8 * 8;                                                    \
    const ints##WIDTH *p = (const ints##WIDTH *)memory;                                            \
    while (turns--) {                                                                              \
      for (size_t i = 0; i < n; i += 8) {                                                          \
        s0 += p[i]; s1 += p[i + 1]; s2 += p[i + 2]; s3 += p[i + 3];                                \
        s4 += p[i + 4]; s5 += p[i + 5]; s6 += p[i + 6]; s7 += p[i + 7];                            \
      }                                                                                            \
      BARRIER;                                                                                     \
    }                                                                                              \
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;                                                        \
    sink = s0[0];                                                                                  \
    return (double)(n * sizeof s0);                                                                \
  }                                                                                                \
  TARGET static double write_##WIDTH(char *memory, size_t bytes, long turns) {                       \
    ints##WIDTH v;                                                                                 \
    memset(&v, 0, sizeof v);                                                                       \
    const size_t n = bytes / sizeof v / 8 * 8;                                                     \
    ints##WIDTH *p = (ints##WIDTH *)memory;                                                        \
    while (turns--)                                                                                \
      for (size_t i = 0; i < n; i += 8) {                                                          \
        p[i] = v; p[i + 1] = v; p[i + 2] = v; p[i + 3] = v;                                        \
        p[i + 4] = v; p[i + 5] = v; p[i + 6] = v; p[i + 7] = v;                                    \
        BARRIER;                                                                                   \
      }                                                                                            \
    return (double)(n * sizeof v);                                                                 \
  }                                                                                                \
  TARGET static double copy_##WIDTH(char *memory, size_t bytes, long turns) {                        \
    const size_t n = bytes / sizeof(ints##WIDTH) / 16 * 8;                                         \
    const ints##WIDTH *p = (const ints##WIDTH *)memory;                                            \
    ints##WIDTH *q = (ints##WIDTH *)memory + n;                                                    \
    while (turns--)                                                                                \
      for (size_t i = 0; i < n; i += 4) {                                                          \
        ints##WIDTH a = p[i], b = p[i + 1], c = p[i + 2], d = p[i + 3];                            \
        q[i] = a; q[i + 1] = b; q[i + 2] = c; q[i + 3] = d;                                        \
        BARRIER;                                                                                   \
      }                                                                                            \
    return (double)(2 * n * sizeof(ints##WIDTH));                                                  \
  }                                                                                                \
  TARGET static double triad_##WIDTH(char *memory, size_t bytes, long turns) {                       \
    typedef floats##WIDTH vector;                                                                  \
    const size_t n = bytes / sizeof(vector) / 12 * 4;                                              \
    const vector *p = (const vector *)memory, *r = p + n;                                          \
    vector *q = (vector *)memory + 2 * n, s;                                                       \
    memset(&s, 0, sizeof s);                                                                       \
    s += 0.5f;                                                                                     \
    while (turns--)                                                                                \
      for (size_t i = 0; i < n; i += 4) {                                                          \
        vector a = p[i] + s * r[i], b = p[i + 1] + s * r[i + 1];                                   \
        vector c = p[i + 2] + s * r[i + 2], d = p[i + 3] + s * r[i + 3];                           \
        q[i] = a; q[i + 1] = b; q[i + 2] = c; q[i + 3] = d;                                        \
        BARRIER;                                                                                   \
      }                                                                                            \
    return (double)(3 * n * sizeof(vector));                                                       \
  }

#define PLAIN
FLOATS(128, PLAIN)
STREAMS(128, PLAIN)
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,prefer-vector-width=512")))
FLOATS(256, AVX2)
STREAMS(256, AVX2)
FLOATS(512, AVX512)
STREAMS(512, AVX512)
/* 128 bit with fused operations, as compilers write them for this processor. */
__attribute__((target("avx,fma"))) static double fused_128(char *memory, size_t bytes, long turns) {
  typedef floats128 vector;
  const vector *v = (const vector *)memory;
  vector m = v[0], c = v[1];
  (void)bytes;
  CHAINS(START)
  for (long i = 0; i < turns * INNER; i++) { CHAINS(FUSED) }
  CHAINS(SUM)
  sink = c[0];
  return OPS(4, 2);
}
#define DOT(NAME, TARGET, VECTOR, STEPS)                                                           \
  TARGET static double NAME(char *memory, size_t bytes, long turns) {                              \
    typedef VECTOR vector;                                                                         \
    vector *v = (vector *)memory, x = v[0];                                                        \
    (void)bytes;                                                                                   \
    CHAINS(START)                                                                                  \
    for (long i = 0; i < turns * INNER; i++) {                                                     \
      CHAINS(STEPS)                                                                                \
      BARRIER;                                                                                     \
    }                                                                                              \
    CHAINS(STORE)                                                                                  \
    return OPS(sizeof x, 2);                                                                       \
  }
#define STORE(I) v[I] = a##I;
#define VNNI512(I) a##I = _mm512_dpbusd_epi32(a##I, x, x);
#define VNNI256(I) a##I = _mm256_dpbusd_epi32(a##I, x, x);
/* Without dot products: two multiplications into 16 bit, added, widened, added. */
#define WIDEN256(I)                                                                                \
  { __m256i t = _mm256_maddubs_epi16(x, _mm256_xor_si256(x, a##I));                                \
    a##I = _mm256_add_epi32(a##I, _mm256_madd_epi16(t, x)); }
DOT(dot_512, __attribute__((target("avx512f,avx512vnni"))), __m512i, VNNI512)
DOT(dot_256, __attribute__((target("avx512f,avx512vl,avx512vnni"))), __m256i,
    VNNI256)
DOT(widen_256, __attribute__((target("avx2"))), __m256i, WIDEN256)
#if __GNUC__ >= 11 || (defined(__clang_major__) && __clang_major__ >= 12)
#define HAS_AVX_VNNI 1
#define AVXVNNI256(I) a##I = _mm256_dpbusd_avx_epi32(a##I, x, x);
DOT(avxvnni_256, __attribute__((target("avx2,avxvnni"))), __m256i, AVXVNNI256)
#endif
#elif defined(__aarch64__)
#if defined(__ARM_FEATURE_DOTPROD)
#define DOTPROD
#elif defined(__clang__)
#define DOTPROD __attribute__((target("dotprod")))
#else
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
DOTPROD static double dot_128(char *memory, size_t bytes, long turns) {
  typedef int32x4_t vector;
  vector *v = (vector *)memory;
  const int8x16_t x = vld1q_s8((const int8_t *)memory);
  (void)bytes;
  CHAINS(START)
  for (long i = 0; i < turns * INNER; i++) {
#define SDOT(I) a##I = vdotq_s32(a##I, x, x);
    CHAINS(SDOT)
    BARRIER;
  }
#define STORE(I) v[I] = a##I;
  CHAINS(STORE)
  return OPS(16, 2);
}
#endif

/* -- clock: additions of two registers, each waiting for the one before ------------------------- */
static double clock_64(char *memory, size_t bytes, long turns) {
  uint64_t x = 1, y = (uint64_t)(unsigned char)memory[0] | 1;
  (void)bytes;
#if defined(__x86_64__)
#define ADD1 "add %1, %0\n\t"
#elif defined(__aarch64__)
#define ADD1 "add %0, %0, %1\n\t"
#endif
#if defined(ADD1)
#define ADD8 ADD1 ADD1 ADD1 ADD1 ADD1 ADD1 ADD1 ADD1
  while (turns--) __asm__ volatile(ADD8 ADD8 ADD8 ADD8 ADD8 ADD8 ADD8 ADD8 : "+r"(x) : "r"(y));
#else
  while (turns--)
    for (int i = 0; i < 64; i++) {
      x += y;
      __asm__ volatile("" : "+r"(x));
    }
#endif
  sink = (double)x;
  return 64;
}

/* -- latency: links in a random circle over all lines; N walkers at once ------------------------ */
#define LINE 64
#define PIECES 8
#define REFILLED ((size_t)64 << 20)
#define CHASE(N, WALKERS)                                                                          \
  static double chase_##N(char *memory, size_t bytes, long turns) {                                \
    const size_t lines = bytes / LINE;                                                             \
    WALKERS(PUT##N)                                                                                \
    while (turns--)                                                                                \
      for (int k = 0; k < 256; k++) { WALKERS(GO) }                                                \
    WALKERS(END)                                                                                   \
    return 256.0 * N;                                                                              \
  }
#define PUT1(I) PUT(I, 1)
#define PUT2(I) PUT(I, 2)
#define PUT4(I) PUT(I, 4)
#define PUT8(I) PUT(I, 8)
#define PUT12(I) PUT(I, 12)
/* A walker goes on where it stopped, which its first line remembers. */
#define PUT(I, N)                                                                                  \
  void **s##I = (void **)(memory + lines * I / N * LINE), **p##I = s##I[1] ? (void **)s##I[1] : s##I;
#define GO(I) p##I = (void **)*p##I;
#define END(I) s##I[1] = p##I;
#define ONE(X) X(0)
#define TWO(X) X(0) X(1)
#define FOUR(X) TWO(X) X(2) X(3)
#define EIGHT(X) FOUR(X) X(4) X(5) X(6) X(7)
CHASE(1, ONE)
CHASE(2, TWO)
CHASE(4, FOUR)
CHASE(8, EIGHT)
CHASE(12, TWELVE)

static uint64_t state = 88172645463325252ULL;
static uint64_t random64(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static int circle(char *memory, size_t bytes) { /* Sattolo's shuffle: one circle through all */
  const size_t lines = bytes / LINE;
  size_t *order = malloc(lines * sizeof *order);
  if (!order) return 0;
  for (size_t i = 0; i < lines; i++) order[i] = i;
  for (size_t i = lines - 1; i > 0; i--) {
    size_t j = random64() % i, t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (size_t i = 0; i < lines; i++) {
    void **line = (void **)(memory + i * LINE);
    line[0] = memory + order[i] * LINE;
    line[1] = NULL;
  }
  free(order);
  return 1;
}

/* -- what there is ------------------------------------------------------------------------------ */
struct entry {
  const char *name;
  kernel run;
  int has;
};
#define FAMILY(WIDTH, HAS)                                                                         \
  {"fma_" #WIDTH, fma_##WIDTH, HAS}, {"add_" #WIDTH, add_##WIDTH, HAS},                            \
  {"wait_" #WIDTH, wait_##WIDTH, HAS}, {"read_" #WIDTH, read_##WIDTH, HAS},                        \
  {"write_" #WIDTH, write_##WIDTH, HAS}, {"copy_" #WIDTH, copy_##WIDTH, HAS},                      \
  {"triad_" #WIDTH, triad_##WIDTH, HAS}

static int entries(struct entry *out) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl");
  const int vnni = avx512 && __builtin_cpu_supports("avx512vnni");
#endif
#if defined(__aarch64__)
#if defined(__ARM_FEATURE_DOTPROD)
  const int dotprod = 1;
#elif defined(__linux__)
  const int dotprod = (getauxval(AT_HWCAP) & (1UL << 20)) != 0;
#else
  const int dotprod = 0;
#endif
#endif
  struct entry all[] = {
    {"clock_64", clock_64, 1},
    {"chase_1", chase_1, 1}, {"chase_2", chase_2, 1}, {"chase_4", chase_4, 1},
    {"chase_8", chase_8, 1}, {"chase_12", chase_12, 1},
    FAMILY(128, 1),
#if defined(__x86_64__)
    {"fused_128", fused_128, avx2},
    FAMILY(256, avx2), FAMILY(512, avx512),
    {"dot_512", dot_512, vnni}, {"dot_256", dot_256, vnni},
    {"widen_256", widen_256, avx2},
#if defined(HAS_AVX_VNNI)
    {"avxvnni_256", avxvnni_256, __builtin_cpu_supports("avxvnni") != 0},
#endif
#elif defined(__aarch64__)
    {"dot_128", dot_128, dotprod},
#endif
  };
  int n = 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].has) out[n++] = all[i];
  return n;
}

/* One thread is timed by what it ran, so that slices given to other processes do not count; several
   by the wall, since what each ran does not tell whether they ran together. */
static double now(int threads) {
  struct timespec t;
  clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- threads: all start a trial together; the last one to end it stops the watch ---------------- */
struct job {
  kernel run;
  char *memory;
  size_t bytes;
  long turns;
  double work;
};
static volatile int waiting, round_number, threads_total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate = PTHREAD_COND_INITIALIZER;

static void meet(void) {
  pthread_mutex_lock(&lock);
  int mine = round_number;
  if (++waiting == threads_total) {
    waiting = 0;
    round_number++;
    pthread_cond_broadcast(&gate);
  } else {
    while (mine == round_number) pthread_cond_wait(&gate, &lock);
  }
  pthread_mutex_unlock(&lock);
}

static void *work(void *given) {
  struct job *j = given;
  meet();
  j->work = j->run(j->memory, j->bytes, j->turns);
  meet();
  return NULL;
}

static double together(struct job *jobs, int threads) {
  pthread_t ids[1024];
  threads_total = threads;
  for (int i = 1; i < threads; i++)
    if (pthread_create(&ids[i], NULL, work, &jobs[i])) exit(4);
  if (threads > 1) meet();
  double start = now(threads);
  jobs[0].work = jobs[0].run(jobs[0].memory, jobs[0].bytes, jobs[0].turns);
  if (threads > 1) meet();
  double took = now(threads) - start;
  for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
  return took;
}

int main(int count, char **given) {
  struct entry all[64], *e = NULL;
  const int n = entries(all);
  if (count == 2 && !strcmp(given[1], "features")) {
    for (int i = 0; i < n; i++) puts(all[i].name);
    return 0;
  }
  if (count != 6) return 2;
  for (int i = 0; i < n; i++)
    if (!strcmp(all[i].name, given[1])) e = &all[i];
  if (!e) return 3;
  const size_t bytes = (size_t)strtoull(given[2], NULL, 10);
  const int threads = atoi(given[3]), trials = atoi(given[4]);
  const double seconds = atof(given[5]);
  if (threads < 1 || threads > 1024 || bytes < 4096) return 2;
  struct job *jobs = calloc((size_t)threads, sizeof *jobs);
  for (int i = 0; jobs && i < threads; i++) {
    void *memory = NULL;
    if (posix_memalign(&memory, 4096, bytes)) return 4;
    memset(memory, 0, bytes);
    for (size_t k = 0; k < 1024; k++) ((float *)memory)[k] = k < 16 ? 0.5f : 1.0f + 0.001f * (float)k;
    if (!strncmp(e->name, "chase", 5) && !circle(memory, bytes)) return 4;
    jobs[i].run = e->run;
    jobs[i].memory = memory;
    jobs[i].bytes = bytes;
    jobs[i].turns = 1;
  }
  if (!jobs) return 4;
  double took = together(jobs, threads);
  long turns = 1;
  while (took < 0.2 * seconds && turns < (1L << 40)) { /* warm, and long enough to time */
    turns = took < 0.02 * seconds ? turns * 8 : turns * 2;
    for (int i = 0; i < threads; i++) jobs[i].turns = turns;
    took = together(jobs, threads);
  }
  turns = (long)((double)turns * seconds / took);
  if (turns < 1) turns = 1;
  for (int i = 0; i < threads; i++) jobs[i].turns = turns;
  /* A neighbour throws the circle out of a cache within a slice, and links that miss take longer
     than the slice to bring it back. So it is read in order first, walked until nearer caches hold
     what a walk leaves in them, and timed in pieces, of which the best counts. */
  const int chases = !strncmp(e->name, "chase", 5) && threads == 1;
  const int pieces = chases ? PIECES : 1;
  if (chases && turns > PIECES) jobs[0].turns = turns /= PIECES;
  for (int t = 0; t < trials; t++) {
    double best = 0;
    for (int p = 0; p < pieces; p++) {
      if (chases && bytes <= REFILLED) {
        char s = 0;
        for (size_t k = 0; k < bytes; k += LINE) s += *(volatile char *)(jobs[0].memory + k);
        sink = s;
        jobs[0].run(jobs[0].memory, bytes, turns * 2);
      }
      took = together(jobs, threads);
      const double rate = jobs[0].work * (double)turns * threads / took;
      if (rate > best) best = rate;
    }
    printf("%.6g\n", best);
    fflush(stdout);
  }
  return 0;
}
