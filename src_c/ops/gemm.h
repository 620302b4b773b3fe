/* Matrix products: what the ways of doing one share. gemm.c chooses, gemm_blocks.c runs tiles over
 * packed panels, gemm_skinny.c the products of a few rows, gemm_pack.c fills panels. */
#ifndef FASTCONV_GEMM_H
#define FASTCONV_GEMM_H

#include "../runtime/runtime.h"

/* Where a panel of b comes from. */
typedef enum {
    FC_PANELS_DIRECT, /* b's own rows */
    FC_PANELS_TASK,   /* packed by the one task that needs it */
    FC_PANELS_SHARED, /* packed before all tasks, or by the user */
} fc_panels;

/* One product, or `batch` of them, in elements unless said otherwise. */
typedef struct {
    const fc_kernels_of_type* kernels;
    int64_t element; /* bytes */
    fc_matmul p;
    int64_t total_k; /* of all of a batch that are parts of one product; INT64_MAX: they are not */
    const char *a, *b, *bias, *addend;
    char* c;
    int transposed_c; /* c is stored as (n, m): the operands have changed places */

    int64_t chunk, chunks; /* of depth */
    int64_t rows, columns; /* of a task */
    int64_t row_tasks, column_tasks;
    fc_panels panels;
} fc_gemm_job;

static inline int64_t fc_gemm_depth(const fc_gemm_job* job, int64_t batch) {
    return fc_min(job->p.k, job->total_k - batch * job->p.k);
}

/* Rows of one task of blocks, at most. */
static inline int64_t fc_gemm_most_rows(const fc_gemm_job* job) {
    return 16 * job->kernels->gemm_mr;
}

static inline double fc_gemm_work(const fc_gemm_job* job) {
    return (double)job->p.batch * (double)job->p.m * (double)job->p.n * (double)job->p.k;
}

/* A task's share: counts are clipped to the matrix. */
typedef struct {
    int64_t batch, row, rows, column, columns;
} fc_gemm_share;

static inline fc_gemm_share fc_gemm_share_of(const fc_gemm_job* job, int64_t index) {
    const int64_t i = index % job->row_tasks, rest = index / job->row_tasks;
    const int64_t row = i * job->rows, column = rest % job->column_tasks * job->columns;
    return (fc_gemm_share){rest / job->column_tasks, row, fc_min(job->rows, job->p.m - row), column,
                           fc_min(job->columns, job->p.n - column)};
}

static inline int64_t fc_gemm_tasks(const fc_gemm_job* job) {
    return job->p.batch * job->row_tasks * job->column_tasks;
}

/* gemm_pack.c: panels of b, vector by vector of its columns: vector v of chunk i, `chunk` + 1 steps
 * long (a step more, lest vectors meet in the same sets of the cache), at
 * ((i * vectors + v) * (chunk + 1)) * lanes. */
static inline int64_t fc_gemm_pitch(const fc_gemm_job* job) {
    return (job->chunk + 1) * job->kernels->lanes;
}
int64_t fc_gemm_packed_elements(const fc_gemm_job* job);
/* Columns [column, column + columns) of steps [step, step + depth) of one b. */
typedef struct {
    const char* b;
    int64_t step, depth, column, columns;
} fc_gemm_block;
void fc_gemm_pack_block(const fc_gemm_job* job, const fc_gemm_block* block, char* packed);
fc_status fc_gemm_pack_all(const fc_gemm_job* job, char* packed);

/* gemm_blocks.c (plan_chunks first); gemm_skinny.c: rows of dot products (b transposed, k of at
 * least a vector), sums of rows (b plain, a few rows of a, n of at least a vector), products of a
 * few steps (b plain, nothing to add or clip). */
void fc_gemm_plan_chunks(fc_gemm_job* job);
fc_status fc_gemm_by_blocks(fc_gemm_job* job);
fc_status fc_gemm_by_dots(fc_gemm_job* job);
fc_status fc_gemm_by_streams(fc_gemm_job* job);
fc_status fc_gemm_by_outer(fc_gemm_job* job);

/* Bias, addend and activation of a share whose sums lie in `tile`. */
void fc_gemm_finish_share(const fc_gemm_job* job, const fc_gemm_share* share, const char* tile,
                          int64_t tile_row);

#endif
