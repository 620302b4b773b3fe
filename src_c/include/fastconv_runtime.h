/* Status codes, element types, instruction sets, threads and memory: part of fastconv.h. */
#ifndef FASTCONV_INTERFACE_RUNTIME_H
#define FASTCONV_INTERFACE_RUNTIME_H

#include <stdint.h>
#include <stddef.h>

#if defined(__GNUC__)
#    define FC_API __attribute__((visibility("default")))
#else
#    define FC_API
#endif

typedef enum {
    FC_OK = 0,
    FC_ERROR_MEMORY = 1,   /* scratch memory could not be allocated */
    FC_ERROR_INDEX = 2,    /* an index or label read from the user is out of range */
    FC_ERROR_ARGUMENT = 3, /* a value that the caller should have checked */
} fc_status;

typedef enum { FC_FLOAT32 = 0, FC_FLOAT64 = 1, FC_DTYPES = 2 } fc_dtype;

/* Choose the kernels: an ISA name, or NULL for the best that this CPU has. FC_ERROR_ARGUMENT if the
 * name is unknown or this CPU cannot run it. Call before any operation. */
FC_API fc_status fc_select_isa(const char* name);
FC_API const char* fc_selected_isa(void);
/* Name of the index-th ISA compiled in, best first, NULL past the end; *supported: can it run? */
FC_API const char* fc_isa_name(int index, int* supported);

/* The compiler, its version and the flags common to all files. */
FC_API const char* fc_build_description(void);

/* From the affinity, the cgroup's quota and OMP_NUM_THREADS; at least 1. */
FC_API int fc_default_num_threads(void);
FC_API int fc_get_num_threads(void);
FC_API void fc_set_num_threads(int threads);

/* Bytes of scratch that this thread holds on to (see runtime/workspace.c). */
FC_API int64_t fc_workspace_held(void);
/* Free it; returns the bytes. */
FC_API int64_t fc_workspace_release(void);
/* Testing: let the n-th scratch request from now fail (0: none). Counts over all threads. */
FC_API void fc_workspace_fail_at(int64_t n);

/* Memory of results (runtime/output_cache.c), 4 KiB aligned and not cleared; NULL when memory is
 * out. It is made for blocks of 64 KiB and more: smaller ones take as much. */
FC_API void* fc_output_acquire(size_t bytes);
FC_API void fc_output_release(void* data);
/* As realloc: the contents move if they must; on failure data stays as it was. */
FC_API void* fc_output_resize(void* data, size_t bytes);
/* Released blocks wait for the next acquire, up to a limit of idle bytes. By default it is 256 MiB,
 * or an eighth of the memory that there is. */
FC_API size_t fc_output_default_limit(void);
FC_API size_t fc_output_limit(void);
FC_API void fc_output_set_limit(size_t bytes);
FC_API size_t fc_output_idle(void);
/* Give all idle blocks back to the system; returns their bytes. */
FC_API size_t fc_output_release_idle(void);
/* Testing: let the n-th acquire from now fail (0: none). */
FC_API void fc_output_fail_at(int64_t n);

#endif
