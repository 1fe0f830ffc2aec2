// QCOW2_VECTOR_CLONES, for loops that gain from wide vectors.
//
// A macro, because compilers differ in what they know.
#ifndef CHECKER_VECTOR_CLONES_H_
#define CHECKER_VECTOR_CLONES_H_

// Before a function: it is compiled for wider vectors, too, and which one runs
// where the processor has them is chosen when the program starts. Only GCC on
// x86-64 has both the attribute and the loader support.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define QCOW2_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define QCOW2_VECTOR_CLONES
#endif

#endif  // CHECKER_VECTOR_CLONES_H_
