/* Products by register tiles over panels, for everything that is not skinny.
 *
 * A task owns a block of c. It walks along the depth in chunks, so that its panels of b (512 KB)
 * and its rows of a stay in L2 and one tile of a (28 KB) in L1 while panels pass by: b comes from
 * beyond L2 once for all rows of the task. Chunks are summed from zero and added to c, which stays
 * near.
 *
 * Where every task would pack the same panels, they are packed for all beforehand. */
#include "gemm.h"

enum {
    CHUNK = 2048,        /* bytes of a row of a: one chunk of depth */
    PANELS = 512 << 10,  /* bytes of b in L2 */
    TASKS = 8,           /* into which c is cut while its columns are worth a task */
    LEAST_COLUMNS = 64,  /* of a task */
    IN_CACHE = 256 << 10 /* bytes of b that may be read again and again where they lie */
};

/* How a tile finds its rows of a: where they lie, always. Copies of them cost more than they gave,
 * even where all rows of a tile fall into the same sets of the cache. */
typedef struct {
    const char* at;
    int64_t row, depth; /* strides; by rows depth is 1, by columns row is 1 */
} rows_of_a;

/* A task's block of c: where it lies, or (transposed) where it is gathered. */
typedef struct {
    const fc_gemm_job* job;
    fc_gemm_share share;
    char *c, *tile;
    const char* bias;
    const char* addend;
    int64_t c_row, c_vector;
    int first, last; /* chunk */
} block;

void fc_gemm_plan_chunks(fc_gemm_job* job) {
    job->chunks = fc_max(1, fc_ceil_div(job->p.k * job->element, CHUNK));
    job->chunk = fc_ceil_div(job->p.k, job->chunks);
}

/* Where columns alone give too few tasks, rows are cut for twice as many as would do: three tasks
 * of a layer's 500 rows leave one of two threads waiting for a third of the time. */
static int64_t row_tasks_wanted(const fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    const int64_t others = fc_ceil_div(p->n, LEAST_COLUMNS);
    if (p->batch > 1 || others >= TASKS) return 1;
    return fc_min(fc_ceil_div(2 * TASKS, others), fc_max(1, p->m / job->kernels->gemm_mr));
}

static void plan(fc_gemm_job* job) {
    const fc_matmul* p = &job->p;
    const fc_kernels_of_type* k = job->kernels;
    const int64_t e = job->element, panel = k->gemm_nv * k->lanes;
    job->row_tasks = fc_max(fc_ceil_div(p->m, fc_gemm_most_rows(job)), row_tasks_wanted(job));
    job->rows = fc_ceil_div(fc_ceil_div(p->m, job->row_tasks), k->gemm_mr) * k->gemm_mr;
    job->row_tasks = fc_ceil_div(p->m, job->rows);
    const int64_t most = fc_max(PANELS / (job->chunk * e) / panel, 1) * panel;
    const int64_t pieces = fc_ceil_div(TASKS, job->row_tasks * p->batch);
    const int64_t even = fc_ceil_div(fc_ceil_div(p->n, pieces), panel) * panel;
    job->columns = fc_min(most, fc_max(even, fc_ceil_div(LEAST_COLUMNS, panel) * panel));
    job->column_tasks = fc_ceil_div(p->n, job->columns);
    if (p->b_packed || job->transposed_c || (job->row_tasks > 1 && p->batch == 1))
        job->panels = FC_PANELS_SHARED;
    else if (!p->transpose_b && p->n >= k->lanes && p->k * p->n * e <= IN_CACHE &&
             (p->ldb * e % 4096 != 0 || p->k <= 16 || p->m <= k->gemm_mr))
        job->panels = FC_PANELS_DIRECT;
    else
        job->panels = FC_PANELS_TASK;
}

static rows_of_a rows_at(const block* c, int64_t step) {
    const fc_matmul* p = &c->job->p;
    const fc_gemm_share* s = &c->share;
    const char* a = c->job->a + s->batch * p->a_batch * c->job->element;
    if (p->transpose_a)
        return (rows_of_a){a + (step * p->lda + s->row) * c->job->element, 1, p->lda};
    return (rows_of_a){a + (s->row * p->lda + step) * c->job->element, p->lda, 1};
}

/* Bias, addend and activation, where tiles are added to c in place. */
static int has_epilogue(const block* c) {
    return c->last && (c->bias || c->addend || c->job->p.relu);
}

static void finish(const block* c, fc_gemm_finish f, const char* tile, int64_t m, int64_t n) {
    const int64_t e = c->job->element, at = (m * c->c_row + n) * e;
    const char* addend = NULL;
    f.result_row = c->c_row;
    if (c->last && !c->job->transposed_c) {
        f.relu = c->job->p.relu;
        if (c->bias && c->job->p.bias_of_rows)
            f.row_bias = c->bias + m * e;
        else if (c->bias)
            f.column_bias = c->bias + n * e;
        if (c->addend) addend = c->addend + at;
    }
    if (tile != c->c + at && !c->first) { /* two things to add: the sums so far go first */
        fc_gemm_finish sums = {
            .rows = f.rows, .columns = f.columns, .tile_row = f.tile_row, .result_row = c->c_row};
        c->job->kernels->gemm_finish(&sums, tile, c->c + at, c->c + at);
        if (!has_epilogue(c)) return;
        tile = c->c + at;
        f.tile_row = c->c_row;
    }
    c->job->kernels->gemm_finish(&f, tile, addend, c->c + at);
}

typedef struct {
    const char* at; /* of the first vector's first step */
    int64_t depth, vector;
    int overlap; /* the last columns' vector begins before them: b's own rows are not padded */
} columns_of_b;

/* All columns of the block for `rows` rows of a tile. */
static void run_tiles(const block* c, fc_gemm_panel* g, const rows_of_a* a, const char* left,
                      int64_t m, int64_t rows, const columns_of_b* b) {
    const fc_gemm_job* job = c->job;
    const fc_kernels_of_type* k = job->kernels;
    const int64_t e = job->element, lanes = k->lanes, tile_row = k->gemm_nv * lanes;
    const fc_gemm_kernel kernel = a->depth == 1 ? k->gemm_by_rows : k->gemm_by_columns;
    for (int64_t n = 0; n < c->share.columns;) {
        const int64_t left_over = c->share.columns - n;
        const int vectors = left_over >= tile_row ? k->gemm_nv : 1;
        const int64_t width = fc_min(left_over, vectors * lanes);
        const int64_t shift = b->overlap && width < lanes ? lanes - width : 0;
        const char* right = b->at + (n / lanes * b->vector - shift) * e;
        const int whole = width == vectors * lanes || job->transposed_c;
        char* to = c->c + (m * c->c_row + n / lanes * c->c_vector) * e;
        g->c_row = whole ? c->c_row : tile_row;
        g->c_vector = whole ? c->c_vector : lanes;
        g->accumulate = whole && !c->first;
        kernel(g, rows, vectors, left, right, whole ? to : c->tile);
        fc_gemm_finish f = {.rows = rows, .columns = width, .tile_row = c->c_row};
        if (!whole) {
            f.tile_row = tile_row;
            finish(c, f, c->tile + shift * e, m, n);
        } else if (has_epilogue(c) && !job->transposed_c) {
            finish(c, f, to, m, n);
        }
        n += width;
    }
}

static void run_chunk(const block* c, int64_t depth, const rows_of_a* a, const columns_of_b* b) {
    static const int64_t no_offset = 0;
    const fc_gemm_job* job = c->job;
    const int64_t e = job->element, tiles = fc_ceil_div(c->share.rows, job->kernels->gemm_mr);
    fc_gemm_panel g = {.a_row = a->row,
                       .a_depth = a->depth,
                       .segments = 1,
                       .depth = depth,
                       .a_segment = &no_offset,
                       .b_depth = b->depth,
                       .b_vector = b->vector};
    int64_t m = 0;
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t rows = fc_ceil_div(c->share.rows - m, tiles - t);
        const char* left = a->at + m * a->row * e;
        run_tiles(c, &g, a, left, m, rows, b);
        m += rows;
    }
}

static columns_of_b columns_at(const block* c, int64_t chunk, int64_t depth, char* packed) {
    const fc_gemm_job* job = c->job;
    const fc_matmul* p = &job->p;
    const int64_t e = job->element, lanes = job->kernels->lanes, step = chunk * job->chunk;
    const fc_gemm_share* s = &c->share;
    const char* b = job->b + s->batch * p->b_batch * e;
    const int64_t pitch = fc_gemm_pitch(job);
    if (job->panels == FC_PANELS_DIRECT)
        return (columns_of_b){b + (step * p->ldb + s->column) * e, p->ldb, lanes, 1};
    if (job->panels == FC_PANELS_SHARED) {
        const int64_t vectors = chunk * fc_ceil_div(p->n, lanes) + s->column / lanes;
        return (columns_of_b){b + vectors * pitch * e, lanes, pitch, 0};
    }
    const fc_gemm_block what = {b, step, depth, s->column, s->columns};
    fc_gemm_pack_block(job, &what, packed);
    return (columns_of_b){packed, lanes, pitch, 0};
}

typedef struct {
    size_t b, tile, c;
} block_scratch;

static block_scratch scratch_of(const fc_gemm_job* job) {
    const fc_kernels_of_type* k = job->kernels;
    const int64_t e = job->element, vectors = fc_ceil_div(job->columns, k->lanes);
    return (block_scratch){
        .b = job->panels == FC_PANELS_TASK ? fc_align((size_t)(vectors * fc_gemm_pitch(job) * e))
                                           : 0,
        .tile = fc_align((size_t)(k->gemm_mr * k->gemm_nv * k->lanes * e)),
        .c = job->transposed_c ? fc_align((size_t)(vectors * k->lanes * job->rows * e)) : 0,
    };
}

/* The block was gathered as vectors of columns, row after row: into c, where columns are rows. */
static void store_transposed(const block* c) {
    const fc_gemm_job* job = c->job;
    const fc_gemm_share* s = &c->share;
    const int64_t e = job->element, lanes = job->kernels->lanes;
    fc_lanes turned = {
        .columns = s->rows, .row_stride = job->p.ldc, .column_stride = 1, .relu = job->p.relu};
    const fc_gemm_finish biased = {.rows = s->rows,
                                   .columns = lanes,
                                   .tile_row = lanes,
                                   .result_row = lanes,
                                   .row_bias = c->bias};
    for (int64_t n = 0; n < s->columns; n += lanes) {
        char* from = c->c + n / lanes * c->c_vector * e;
        turned.rows = fc_min(lanes, s->columns - n);
        if (c->bias) job->kernels->gemm_finish(&biased, from, NULL, from);
        job->kernels->unpack_lanes(&turned, from, NULL,
                                   job->c + ((s->column + n) * job->p.ldc + s->row) * e);
    }
}

static fc_status block_task(void* context, int64_t index) {
    const fc_gemm_job* job = context;
    const fc_matmul* p = &job->p;
    const block_scratch sizes = scratch_of(job);
    char* scratch = fc_workspace(FC_SLOT_TASK, sizes.b + sizes.tile + sizes.c);
    if (!scratch) return FC_ERROR_MEMORY;
    const fc_gemm_share s = fc_gemm_share_of(job, index);
    const int64_t e = job->element, lanes = job->kernels->lanes;
    const int64_t at = (s.batch * p->c_batch + s.row * p->ldc + s.column) * e;
    block c = {.job = job,
               .share = s,
               .c = job->c + at,
               .tile = scratch + sizes.b,
               .c_row = p->ldc,
               .c_vector = lanes};
    if (job->bias) c.bias = job->bias + (p->bias_of_rows ? s.row : s.column) * e;
    const int adds_to_c = job->addend == job->c;
    if (job->addend && !adds_to_c) c.addend = job->addend + at;
    if (job->transposed_c) {
        c.c = c.tile + sizes.tile;
        c.c_row = lanes;
        c.c_vector = job->rows * lanes;
    }
    const int64_t depth = fc_gemm_depth(job, s.batch);
    for (int64_t chunk = 0; chunk * job->chunk < depth; chunk++) {
        const int64_t step = chunk * job->chunk, size = fc_min(job->chunk, depth - step);
        c.first = chunk == 0 && !adds_to_c;
        c.last = step + size == depth;
        const rows_of_a a = rows_at(&c, step);
        const columns_of_b b = columns_at(&c, chunk, size, scratch);
        run_chunk(&c, size, &a, &b);
    }
    if (job->transposed_c) store_transposed(&c);
    return FC_OK;
}

fc_status fc_gemm_by_blocks(fc_gemm_job* job) {
    plan(job);
    if (job->panels == FC_PANELS_SHARED && !job->p.b_packed) {
        char* packed = fc_workspace(FC_SLOT_SHARED,
                                    (size_t)fc_gemm_packed_elements(job) * (size_t)job->element);
        if (!packed) return FC_ERROR_MEMORY;
        const fc_status status = fc_gemm_pack_all(job, packed);
        if (status != FC_OK) return status;
        job->b = packed;
        job->p.b_batch = 0;
    }
    return fc_parallel_for(fc_gemm_tasks(job), fc_gemm_work(job), block_task, job);
}
