/* Panels of b: vectors of its columns, step after step of depth, padded with zeros. A plain b is
 * copied row by row, a transposed one goes through transposes in registers. */
#include "gemm.h"

/* Columns that one task packs: whole pages of a row. */
enum { COLUMNS = 512 };

int64_t fc_gemm_packed_elements(const fc_gemm_job* job) {
    return job->chunks * fc_ceil_div(job->p.n, job->kernels->lanes) * fc_gemm_pitch(job);
}

void fc_gemm_pack_block(const fc_gemm_job* job, const fc_gemm_block* block, char* packed) {
    const fc_matmul* p = &job->p;
    const int64_t lanes = job->kernels->lanes, e = job->element, pitch = fc_gemm_pitch(job);
    if (!p->transpose_b) {
        const fc_gemm_rows rows = {.depth = block->depth,
                                   .columns = block->columns,
                                   .stride = p->ldb,
                                   .to_depth = lanes,
                                   .to_vector = pitch};
        const int64_t room = (block->depth - 1) * p->ldb + block->columns;
        job->kernels->gemm_pack_rows(&rows, room,
                                     block->b + (block->step * p->ldb + block->column) * e, packed);
        return;
    }
    for (int64_t v = 0; v * lanes < block->columns; v++) {
        const fc_lanes turned = {.rows = fc_min(lanes, block->columns - v * lanes),
                                 .columns = block->depth,
                                 .row_stride = p->ldb,
                                 .column_stride = 1};
        const int64_t room = (turned.rows - 1) * p->ldb + block->depth;
        const int64_t from = (block->column + v * lanes) * p->ldb + block->step;
        job->kernels->pack_lanes(&turned, room, block->b + from * e, packed + v * pitch * e);
    }
}

typedef struct {
    const fc_gemm_job* job;
    int64_t groups; /* of columns */
    char* packed;
} packing;

static fc_status pack_task(void* context, int64_t index) {
    const packing* all = context;
    const fc_gemm_job* job = all->job;
    const int64_t chunk = index / all->groups, column = index % all->groups * COLUMNS;
    const int64_t step = chunk * job->chunk, lanes = job->kernels->lanes;
    const fc_gemm_block block = {.b = job->b,
                                 .step = step,
                                 .depth = fc_min(job->chunk, job->p.k - step),
                                 .column = column,
                                 .columns = fc_min(COLUMNS, job->p.n - column)};
    const int64_t vectors = chunk * fc_ceil_div(job->p.n, lanes) + column / lanes;
    fc_gemm_pack_block(job, &block, all->packed + vectors * fc_gemm_pitch(job) * job->element);
    return FC_OK;
}

fc_status fc_gemm_pack_all(const fc_gemm_job* job, char* packed) {
    packing all = {job, fc_ceil_div(job->p.n, COLUMNS), packed};
    return fc_parallel_for(job->chunks * all.groups, 2.0 * (double)job->p.k * (double)job->p.n,
                           pack_task, &all);
}
