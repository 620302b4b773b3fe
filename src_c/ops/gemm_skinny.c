/* Products that are bound by reading b once, or by writing c: nothing is packed.
 *
 *   b transposed   c[m][n] = dot(row m of a, row n of b), tiles of dot products (gemm_dots)
 *   b plain        c[m][:] = sum over d of a[m][d] * row d of b, for up to four rows of a: rows are
 *                  read page by page, as the memory's prefetchers like them (gemm_stream)
 *   few steps      c[m][:] = sum over d of a[m][d] * row d of b, written row by row (gemm_outer) */
#include "gemm.h"
#include <string.h>

enum {
    RUN = 4096,       /* bytes of a row summed at a time by gemm_dots: a tile's rows stay in L1 */
    DOT_ROWS = 64,    /* rows of c of a task of dots */
    DOT_COLUMNS = 24, /* columns: whole tiles of every instruction set */
    WIDTH = 4096,     /* bytes of b's rows that a task streams */
    PIECES = 4,       /* into which rows are cut at least, while they are worth it */
    MOVED = 8,        /* FMAs that take as long as an element on its way from beyond L2, or there */
    WRITTEN = 1 << 16, /* bytes of c that a task of few steps writes */
    SHORT = 8192,      /* bytes of its rows: with those of b they stay in L1 */
};

/* Either the products or the way of b binds. */
static double work_of(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    const double read = (double)(p->b_batch ? p->batch : 1) * (double)p->n * (double)p->k;
    const double products = fc_gemm_work(job);
    return products > MOVED * read ? products : MOVED * read;
}

static fc_status dots_task(void* context, int64_t index) {
    const fc_gemm_job* job = context;
    const fc_kernels_of_type* k = job->kernels;
    const fc_gemm_share s = fc_gemm_share_of(job, index);
    const int64_t e = job->element, depth = fc_gemm_depth(job, s.batch);
    const char* a = job->a + (s.batch * job->p.a_batch + s.row * job->p.lda) * e;
    const char* b = job->b + (s.batch * job->p.b_batch + s.column * job->p.ldb) * e;
    char* tile = fc_workspace(FC_SLOT_TASK, (size_t)(DOT_ROWS * DOT_COLUMNS * e));
    if (!tile) return FC_ERROR_MEMORY;
    const int64_t run = RUN / e;
    fc_gemm_dots dots = {.a_row = job->p.lda, .b_row = job->p.ldb, .c_row = DOT_COLUMNS};
    for (int64_t at = 0; at < depth; at += dots.depth) {
        const int64_t left = depth - at; /* what would be less than a vector is taken along */
        dots.depth = left < run + k->lanes ? left : run;
        dots.accumulate = at > 0;
        for (int64_t n = 0; n < s.columns; n += k->dot_nr)
            for (int64_t m = 0; m < s.rows; m += k->dot_mr)
                k->gemm_dots(&dots, (int)fc_min(k->dot_mr, s.rows - m),
                             (int)fc_min(k->dot_nr, s.columns - n), a + (m * job->p.lda + at) * e,
                             b + (n * job->p.ldb + at) * e, tile + (m * DOT_COLUMNS + n) * e);
    }
    fc_gemm_finish_share(job, &s, tile, DOT_COLUMNS);
    return FC_OK;
}

fc_status fc_gemm_by_dots(fc_gemm_job* job) {
    job->rows = DOT_ROWS;
    job->columns = DOT_COLUMNS;
    job->row_tasks = fc_ceil_div(job->p.m, DOT_ROWS);
    job->column_tasks = fc_ceil_div(job->p.n, DOT_COLUMNS);
    return fc_parallel_for(fc_gemm_tasks(job), work_of(job), dots_task, job);
}

static fc_status stream_task(void* context, int64_t index) {
    const fc_gemm_job* job = context;
    const fc_kernels_of_type* k = job->kernels;
    const fc_matmul* p = &job->p;
    const fc_gemm_share s = fc_gemm_share_of(job, index);
    const int64_t e = job->element, rest = s.columns % k->lanes, whole = s.columns - rest;
    const int64_t pitch = whole + (rest ? k->lanes : 0);
    fc_gemm_stream stream = {.depth = fc_gemm_depth(job, s.batch),
                             .a_row = p->transpose_a ? 1 : p->lda,
                             .a_depth = p->transpose_a ? p->lda : 1,
                             .b_depth = p->ldb,
                             .c_row = pitch,
                             .vectors = pitch / k->lanes,
                             .last = s.columns - k->lanes};
    const char* a = job->a + (s.batch * p->a_batch + s.row * stream.a_row) * e;
    const char* b = job->b + (s.batch * p->b_batch + s.column) * e;
    const size_t bytes = (size_t)(s.rows * pitch * e);
    char* tile = fc_workspace(FC_SLOT_TASK, bytes);
    if (!tile) return FC_ERROR_MEMORY;
    memset(tile, 0, bytes);
    k->gemm_stream(&stream, (int)s.rows, a, b, tile);
    if (rest) /* only the last lanes of the overlapping vector are new */
        for (int64_t m = 0; m < s.rows; m++) {
            char* last = tile + (m * pitch + whole) * e;
            memmove(last, last + (k->lanes - rest) * e, (size_t)(rest * e));
        }
    fc_gemm_finish_share(job, &s, tile, pitch);
    return FC_OK;
}

fc_status fc_gemm_by_streams(fc_gemm_job* job) {
    const int64_t lanes = job->kernels->lanes;
    job->rows = FC_STREAM_ROWS;
    const int64_t pieces = job->p.batch > 1 ? 1 : PIECES; /* many, or parts: tasks enough */
    job->columns = fc_min(WIDTH / job->element,
                          fc_ceil_div(fc_ceil_div(job->p.n, pieces), 4 * lanes) * 4 * lanes);
    job->row_tasks = fc_ceil_div(job->p.m, FC_STREAM_ROWS);
    job->column_tasks = fc_ceil_div(job->p.n, job->columns);
    return fc_parallel_for(fc_gemm_tasks(job), work_of(job), stream_task, job);
}

static fc_status outer_task(void* context, int64_t index) {
    const fc_gemm_job* job = context;
    const fc_matmul* p = &job->p;
    const fc_gemm_share s = fc_gemm_share_of(job, index);
    const int64_t e = job->element;
    const fc_gemm_outer outer = {.rows = s.rows,
                                 .columns = s.columns,
                                 .a_row = p->transpose_a ? 1 : p->lda,
                                 .a_depth = p->transpose_a ? p->lda : 1,
                                 .b_depth = p->ldb,
                                 .c_row = p->ldc};
    job->kernels->gemm_outer(&outer, (int)p->k,
                             job->a + (s.batch * p->a_batch + s.row * outer.a_row) * e,
                             job->b + (s.batch * p->b_batch + s.column) * e,
                             job->c + (s.batch * p->c_batch + s.row * p->ldc + s.column) * e);
    return FC_OK;
}

fc_status fc_gemm_by_outer(fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    job->column_tasks = fc_ceil_div(p->n * job->element, SHORT);
    job->columns = fc_ceil_div(p->n, job->column_tasks);
    job->column_tasks = fc_ceil_div(p->n, job->columns);
    job->rows = fc_max(1, WRITTEN / (job->columns * job->element));
    job->row_tasks = fc_ceil_div(p->m, job->rows);
    const double written = (double)p->batch * (double)p->m * (double)p->n;
    return fc_parallel_for(fc_gemm_tasks(job), MOVED * written, outer_task, job);
}
