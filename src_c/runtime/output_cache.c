/* Memory of results: blocks that go round, so that a result is not paid for in page faults.
 *
 * The system clears every page of fresh memory when it is first written, which takes several times
 * as long as the writing; malloc gives the memory of large arrays back each time they are freed. So
 * blocks that users have let go wait here, idle, for a result of about their size. Sizes are
 * rounded up to eight classes an octave: one class, one stack of idle blocks, at most 12.5 % of
 * address space more than was asked for (pages that are never written are never there), and finding
 * a block takes no search. Idle bytes are bounded: what was freed longest ago goes back to the
 * system first.
 *
 * Before a fork all idle blocks are given back: the child could use its copies of them only at the
 * price of copying page by page, and so could the parent as long as the child lives. */
#define _GNU_SOURCE
#include "runtime.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
/* From here on blocks begin at a huge page and ask for such pages. NumPy asks too, without the
 * alignment. */
#define HUGE_FROM ((size_t)2 << 20)
#define LOWEST_OCTAVE 15 /* blocks of 32 KiB and more */
#define OCTAVES 32
#define LARGEST ((size_t)1 << (LOWEST_OCTAVE + OCTAVES - 1))
#define CLASSES (OCTAVES * 8)

typedef struct ring {
    struct ring *newer, *older;
} ring;

/* Lies in the page before the block's data: written when the block is made, linked when idle. */
typedef struct {
    ring by_age, of_class; /* by_age comes first: a pointer to it is a pointer to its block */
    size_t bytes;
    int class;
} block;

#define HEADER ((sizeof(block) + 63) & ~(size_t)63)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Rings of idle blocks, all and those of each class: `older` leads to the newest, `newer` to the
 * oldest. */
static ring all, classes[CLASSES];
static size_t idle;
static _Atomic size_t limit;
static _Atomic int64_t requests_until_failure;

static block* block_of(void* data) {
    return (block*)((char*)data - HEADER);
}

static void push(ring* ends, ring* item) {
    item->newer = ends;
    item->older = ends->older;
    ends->older->newer = item;
    ends->older = item;
}

static void unlink_idle(block* found) {
    ring* both[] = {&found->by_age, &found->of_class};
    for (int i = 0; i < 2; i++) {
        both[i]->newer->older = both[i]->older;
        both[i]->older->newer = both[i]->newer;
    }
    idle -= found->bytes;
}

/* ---- the system's memory ------------------------------------------------------------------- */

/* The page before the data holds the header, so that the data can begin at a (huge) page. */
static size_t front(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void* map(size_t bytes, int class) {
    size_t page = front(), slack = bytes >= HUGE_FROM ? HUGE_PAGE : 0;
    char* start = mmap(NULL, page + bytes + slack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char* data = start + page;
    if (slack) {
        size_t before = -(uintptr_t)data & (HUGE_PAGE - 1);
        data += before;
        if (before) munmap(start, before);
        munmap(data + bytes, slack - before);
#ifdef MADV_HUGEPAGE
        madvise(data, bytes, MADV_HUGEPAGE);
#endif
    }
    block_of(data)->bytes = bytes;
    block_of(data)->class = class;
    return data;
}

static void unmap(block* unused) {
    size_t page = front();
    char* start = (char*)unused + HEADER - page;
    munmap(start, page + unused->bytes);
}

/* Take the oldest idle blocks out until at most `keep` bytes are left; the lock is held. Returns
 * them as a chain along by_age.older. */
static block* evict(size_t keep) {
    block* chain = NULL;
    while (idle > keep) {
        block* oldest = (block*)all.newer;
        unlink_idle(oldest);
        oldest->by_age.older = (ring*)chain;
        chain = oldest;
    }
    return chain;
}

static size_t unmap_chain(block* chain) {
    size_t bytes = 0;
    while (chain) {
        block* next = (block*)chain->by_age.older;
        bytes += chain->bytes;
        unmap(chain);
        chain = next;
    }
    return bytes;
}

static size_t trim(size_t keep) {
    pthread_mutex_lock(&lock);
    block* chain = evict(keep);
    pthread_mutex_unlock(&lock);
    return unmap_chain(chain);
}

/* ---- forking, setting up -------------------------------------------------------------------- */

static void before_fork(void) {
    pthread_mutex_lock(&lock);
    unmap_chain(evict(0));
}

static void after_fork(void) {
    pthread_mutex_unlock(&lock);
}

static void set_up(void) {
    all = (ring){&all, &all};
    for (int i = 0; i < CLASSES; i++) classes[i] = (ring){&classes[i], &classes[i]};
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* ---- what others call ----------------------------------------------------------------------- */

/* Bytes rounded up to a class and its number; 0 if there is no such class. */
static size_t round_up(size_t bytes, int* class) {
    size_t lowest = (size_t)1 << LOWEST_OCTAVE;
    if (bytes < lowest) bytes = lowest;
    if (bytes > LARGEST) return 0;
    size_t step = (size_t)1 << (60 - __builtin_clzll(bytes));
    bytes = (bytes + step - 1) & ~(step - 1);
    int octave = 63 - __builtin_clzll(bytes);
    *class = (octave - LOWEST_OCTAVE) * 8 + (int)(bytes >> (octave - 3)) - 8;
    return bytes;
}

void* fc_output_acquire(size_t bytes) {
    int class;
    size_t rounded = round_up(bytes, &class);
    if (!rounded || fc_failure_due(&requests_until_failure)) return NULL;
    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    block* found = NULL;
    ring* newest = classes[class].older;
    if (newest != &classes[class]) {
        found = (block*)((char*)newest - offsetof(block, of_class));
        unlink_idle(found);
    }
    pthread_mutex_unlock(&lock);
    if (found) return (char*)found + HEADER;
    void* data = map(rounded, class);
    return data || !trim(0) ? data : map(rounded, class);
}

void fc_output_release(void* data) {
    if (!data) return;
    block* unused = block_of(data);
    if (unused->bytes > fc_output_limit()) { /* would only push all others out */
        unmap(unused);
        return;
    }
    pthread_mutex_lock(&lock);
    push(&all, &unused->by_age);
    push(&classes[unused->class], &unused->of_class);
    idle += unused->bytes;
    block* chain = evict(fc_output_limit());
    pthread_mutex_unlock(&lock);
    unmap_chain(chain);
}

void* fc_output_resize(void* data, size_t bytes) {
    size_t before = block_of(data)->bytes;
    int class;
    if (round_up(bytes, &class) == before) return data;
    void* other = fc_output_acquire(bytes);
    if (!other) return NULL;
    memcpy(other, data, before < bytes ? before : bytes);
    fc_output_release(data);
    return other;
}

size_t fc_output_default_limit(void) {
    size_t share = fc_memory_quota() / 8, most = (size_t)256 << 20;
    return share < most ? share : most;
}

size_t fc_output_limit(void) {
    return atomic_load_explicit(&limit, memory_order_relaxed);
}

void fc_output_set_limit(size_t bytes) {
    atomic_store(&limit, bytes);
    trim(bytes);
}

size_t fc_output_idle(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = idle;
    pthread_mutex_unlock(&lock);
    return bytes;
}

size_t fc_output_release_idle(void) {
    return trim(0);
}

void fc_output_fail_at(int64_t n) {
    atomic_store(&requests_until_failure, n);
}
