/* Matrix products: which of four ways, and the cut of a long sum.
 *
 *   dots      b transposed, few rows or few columns: rows of a with rows of b
 *   streams   b plain, up to four rows: sums of rows of b
 *   outer     b plain, up to four steps: rows of c, written as they lie
 *   blocks    register tiles over packed panels; few rows with b transposed change places with b,
 *             so that the small operand is the packed one and the large one is read where it lies
 *
 * A small c with a long sum is cut along the depth into a batch of products, added in order: how
 * many follows from the sizes alone, so that results do not depend on the number of threads. */
#include "gemm.h"
#include <string.h>

enum {
    DOT_MOST = 4,      /* rows of a that are worth nothing but dots */
    SWAP_MOST = 256,   /* rows of a that change places with b */
    PART = 4096,       /* steps of a part of a long sum, at least */
    PARTS = 8,         /* at most */
    STREAM = 64 << 10, /* bytes of a part of a b that streams past, at least */
    SMALL = 1 << 14,   /* elements of a c that is worth cutting */
    PACKED = 32 << 20, /* bytes packed at a time */
};

void fc_gemm_finish_share(const fc_gemm_job* job, const fc_gemm_share* s, const char* tile,
                          int64_t tile_row) {
    const int64_t e = job->element;
    const int64_t at = (s->batch * job->p.c_batch + s->row * job->p.ldc + s->column) * e;
    const char* bias = job->bias;
    if (bias) bias += (job->p.bias_of_rows ? s->row : s->column) * e;
    const fc_gemm_finish finish = {.rows = s->rows,
                                   .columns = s->columns,
                                   .tile_row = tile_row,
                                   .result_row = job->p.ldc,
                                   .row_bias = job->p.bias_of_rows ? bias : NULL,
                                   .column_bias = job->p.bias_of_rows ? NULL : bias,
                                   .relu = job->p.relu};
    job->kernels->gemm_finish(&finish, tile, job->addend ? job->addend + at : NULL, job->c + at);
}

/* a and b change places: c^T = op(b)^T op(a)^T. */
static void swap_operands(fc_gemm_job* job) {
    const fc_matmul p = job->p;
    const char* a = job->a;
    job->a = job->b;
    job->b = a;
    job->p.m = p.n;
    job->p.n = p.m;
    job->p.transpose_a = !p.transpose_b;
    job->p.transpose_b = !p.transpose_a;
    job->p.lda = p.ldb;
    job->p.ldb = p.lda;
    job->p.bias_of_rows = !p.bias_of_rows;
    job->transposed_c = 1;
}

static int worth_swapping(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    const int64_t lanes = job->kernels->lanes, full = fc_ceil_div(p->m, lanes) * lanes;
    return p->batch == 1 && p->transpose_b && !p->b_packed && !job->addend &&
           !(job->bias && p->bias_of_rows) && p->m <= SWAP_MOST && p->n >= p->m &&
           4 * p->m >= 3 * full && p->m * p->k * job->element <= PACKED;
}

static int streams(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    return !p->b_packed && !p->transpose_b && p->m <= FC_STREAM_ROWS && p->n >= job->kernels->lanes;
}

static fc_status run(fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    const int64_t lanes = job->kernels->lanes;
    if (!p->b_packed && p->transpose_b && !p->transpose_a && p->k >= lanes &&
        (p->m <= DOT_MOST || p->m < lanes || p->n < lanes))
        return fc_gemm_by_dots(job);
    if (streams(job)) return fc_gemm_by_streams(job);
    if (!p->b_packed && !p->transpose_b && p->k <= FC_STREAM_ROWS && !job->bias && !job->addend &&
        !p->relu)
        return fc_gemm_by_outer(job);
    fc_gemm_plan_chunks(job);
    if (p->b_packed && p->b_batch) job->p.b_batch = fc_gemm_packed_elements(job);
    if (worth_swapping(job)) swap_operands(job);
    return fc_gemm_by_blocks(job);
}

/* As many parts as make a few tasks of a product that would be one or two. Where a large b streams
 * past, each thread's parts are rows of it: those that the thread has in its own cache, if they are
 * weights that it has read, row by row, on the way forward. */
static int64_t parts_of(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    if (p->batch > 1 || p->b_packed || p->m * p->n > SMALL) return 1;
    if (streams(job)) return fc_min(fc_min(PARTS, p->k), p->k * p->n * job->element / STREAM);
    return fc_min(PARTS, p->k / PART);
}

static fc_status run_parts(fc_gemm_job* job, int64_t parts) {
    const fc_matmul whole = job->p;
    const int64_t size = whole.m * whole.n, e = job->element;
    char* sums = fc_workspace(FC_SLOT_PLAN, (size_t)(parts * size * e));
    if (!sums) return FC_ERROR_MEMORY;
    fc_gemm_job part = *job;
    part.p.batch = parts;
    part.p.k = fc_ceil_div(whole.k, parts);
    part.total_k = whole.k;
    part.p.a_batch = part.p.k * (whole.transpose_a ? whole.lda : 1);
    part.p.b_batch = part.p.k * (whole.transpose_b ? 1 : whole.ldb);
    part.p.ldc = whole.n;
    part.p.c_batch = size;
    part.p.relu = 0;
    part.bias = part.addend = NULL;
    part.c = sums;
    const fc_status status = run(&part);
    if (status != FC_OK) return status;
    const fc_gemm_finish add = {.rows = 1, .columns = size};
    for (int64_t i = 1; i < parts; i++)
        job->kernels->gemm_finish(&add, sums + i * size * e, sums, sums);
    const fc_gemm_share all = {.rows = whole.m, .columns = whole.n};
    fc_gemm_finish_share(job, &all, sums, whole.n);
    return FC_OK;
}

/* Would more of b be packed for all tasks than PACKED? */
static int needs_slabs(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    return p->batch == 1 && !p->b_packed && p->m > fc_gemm_most_rows(job) &&
           (double)p->k * (double)p->n * (double)job->element > PACKED && !worth_swapping(job);
}

/* Columns and depth of what is packed at a time, so that it stays below PACKED: parts of c, then
 * sums that go on in c. */
static fc_status run_slabs(const fc_gemm_job* whole) {
    const fc_matmul* p = &whole->p;
    const int64_t e = whole->element, deep = PACKED / (1024 * e);
    const int64_t wide = fc_max(1024, PACKED / (fc_min(p->k, deep) * e) / 1024 * 1024);
    for (int64_t n = 0; n < p->n; n += wide)
        for (int64_t k = 0; k < p->k; k += deep) {
            fc_gemm_job part = *whole;
            part.p.n = fc_min(wide, p->n - n);
            part.p.k = fc_min(deep, p->k - k);
            part.a += k * (p->transpose_a ? p->lda : 1) * e;
            part.b += (p->transpose_b ? n * p->ldb + k : k * p->ldb + n) * e;
            part.c += n * e;
            if (part.bias && !p->bias_of_rows) part.bias += n * e;
            if (part.addend) part.addend += n * e;
            if (k > 0) part.addend = part.c;
            if (k + deep < p->k) {
                part.bias = NULL;
                part.p.relu = 0;
            }
            const fc_status status = run(&part);
            if (status != FC_OK) return status;
        }
    return FC_OK;
}

static fc_gemm_job job_of(const fc_matmul* matmul, fc_dtype dtype) {
    return (fc_gemm_job){.kernels = fc_kernels_for(dtype),
                         .element = (int64_t)fc_dtype_size(dtype),
                         .p = *matmul,
                         .total_k = INT64_MAX};
}

static int64_t packed_matrices(const fc_matmul* p) {
    return p->b_batch ? p->batch : 1;
}

fc_status fc_matmul_forward(const fc_matmul* matmul, fc_dtype dtype, const void* a, const void* b,
                            const void* bias, const void* addend, void* c) {
    const fc_matmul* p = matmul;
    fc_gemm_job job = job_of(p, dtype);
    job.a = a;
    job.b = b;
    job.bias = bias;
    job.addend = addend;
    job.c = c;
    const int64_t parts = parts_of(&job);
    fc_status status;
    if (parts > 1)
        status = run_parts(&job, parts);
    else if (needs_slabs(&job))
        status = run_slabs(&job);
    else
        status = run(&job);
    fc_workspace_trim();
    return status;
}

int64_t fc_matmul_packed_size(const fc_matmul* matmul, fc_dtype dtype) {
    fc_gemm_job job = job_of(matmul, dtype);
    fc_gemm_plan_chunks(&job);
    return packed_matrices(matmul) * fc_gemm_packed_elements(&job) * job.element;
}

fc_status fc_matmul_pack_b(const fc_matmul* matmul, fc_dtype dtype, const void* b, void* packed) {
    fc_gemm_job job = job_of(matmul, dtype);
    fc_gemm_plan_chunks(&job);
    for (int64_t i = 0; i < packed_matrices(matmul); i++) {
        job.b = (const char*)b + i * matmul->b_batch * job.element;
        const fc_status status =
            fc_gemm_pack_all(&job, (char*)packed + i * fc_gemm_packed_elements(&job) * job.element);
        if (status != FC_OK) return status;
    }
    return FC_OK;
}
