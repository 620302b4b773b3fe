/* Scratch memory: per thread and slot, aligned, kept between calls, bounded.
 *
 * A fresh malloc of a few hundred KB page-faults on every call, so each thread keeps what it used.
 * What it keeps is bounded by FC_WORKSPACE_KEEP a slot; a larger block lives until the operation
 * ends. Everything is freed when its thread ends. */
#define _GNU_SOURCE
#include "runtime.h"
#include <pthread.h>
#include <stdlib.h>

/* Blocks of this size are worth huge pages, and come from the cache of results' memory, which has
 * them and keeps what FC_WORKSPACE_KEEP does not. */
#define BORROWED_FROM ((size_t)2 << 20)

typedef struct {
    void* block[FC_SLOTS];
    size_t bytes[FC_SLOTS];
    int registered;
} workspace;

static _Thread_local workspace held;
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static _Atomic int64_t requests_until_failure;

static void drop(workspace* own, int slot) {
    if (own->bytes[slot] >= BORROWED_FROM)
        fc_output_release(own->block[slot]);
    else
        free(own->block[slot]);
    own->block[slot] = NULL;
    own->bytes[slot] = 0;
}

static void release(void* pointer) {
    workspace* own = pointer;
    for (int slot = 0; slot < FC_SLOTS; slot++) drop(own, slot);
    own->registered = 0;
}

static void create_key(void) {
    pthread_key_create(&key, release);
}

void fc_workspace_fail_at(int64_t n) {
    atomic_store(&requests_until_failure, n);
}

int fc_failure_due(_Atomic int64_t* requests) {
    if (atomic_load_explicit(requests, memory_order_relaxed) <= 0) return 0;
    return atomic_fetch_sub(requests, 1) == 1;
}

void* fc_workspace(fc_slot slot, size_t bytes) {
    if (fc_failure_due(&requests_until_failure)) return NULL;
    if (held.bytes[slot] >= bytes && held.block[slot]) return held.block[slot];
    drop(&held, slot);
    size_t rounded = (bytes + 4095) & ~(size_t)4095;
    if (rounded < bytes) return NULL;
    void* block = rounded >= BORROWED_FROM ? fc_output_acquire(rounded)
                                           : aligned_alloc(4096, rounded ? rounded : 4096);
    if (!block) return NULL;
    held.block[slot] = block;
    held.bytes[slot] = rounded;
    if (!held.registered) {
        pthread_once(&key_once, create_key);
        pthread_setspecific(key, &held);
        held.registered = 1;
    }
    return block;
}

int64_t fc_workspace_release(void) {
    int64_t bytes = fc_workspace_held();
    release(&held);
    return bytes;
}

void fc_workspace_trim(void) {
    for (int slot = 0; slot < FC_SLOTS; slot++) {
        if (held.bytes[slot] > FC_WORKSPACE_KEEP) drop(&held, slot);
    }
}

int64_t fc_workspace_held(void) {
    int64_t bytes = 0;
    for (int slot = 0; slot < FC_SLOTS; slot++) bytes += (int64_t)held.bytes[slot];
    return bytes;
}
