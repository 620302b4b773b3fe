/* Which instruction set runs: a constant table, best first, and one pointer into it. */
#include "runtime.h"
#include <string.h>

#define FC_ISA(name, condition) extern const fc_kernels fc_kernels_##name;
#include "isa_list.inc"
#undef FC_ISA

typedef struct {
    const char* name;
    const fc_kernels* kernels;
} isa_row;

static const isa_row isa_rows[] = {
#define FC_ISA(name, condition) {#name, &fc_kernels_##name},
#include "isa_list.inc"
#undef FC_ISA
};
enum { ISA_COUNT = sizeof isa_rows / sizeof isa_rows[0] };

static const isa_row* selected = &isa_rows[ISA_COUNT - 1];

static int isa_supported(int index) {
    int row = 0;
#define FC_ISA(name, condition)                                                                    \
    if (row++ == index) return condition;
#include "isa_list.inc"
#undef FC_ISA
    (void)row;
    return 0;
}

const char* fc_isa_name(int index, int* supported) {
    if (index < 0 || index >= ISA_COUNT) return NULL;
    if (supported) *supported = isa_supported(index);
    return isa_rows[index].name;
}

fc_status fc_select_isa(const char* name) {
    for (int i = 0; i < ISA_COUNT; i++) {
        if (name && strcmp(name, isa_rows[i].name) != 0) continue;
        if (!isa_supported(i)) continue;
        selected = &isa_rows[i];
        return FC_OK;
    }
    return FC_ERROR_ARGUMENT;
}

const char* fc_selected_isa(void) {
    return selected->name;
}

const fc_kernels_of_type* fc_kernels_for(fc_dtype dtype) {
    return selected->kernels->of[dtype];
}

#ifndef FC_BUILD_FLAGS
#    define FC_BUILD_FLAGS "unknown flags"
#endif

const char* fc_build_description(void) {
    return "gcc " __VERSION__ ", " FC_BUILD_FLAGS;
}
