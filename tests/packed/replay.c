/* Opens and runs the packed networks of a file of cases, by every variant of this processor.

   A case: uint32 sizes of network, inputs and outputs in bytes, then these. Without outputs, the
   network may be refused; if it opens, it runs on zeros. Blocks have exactly the size that was
   asked for, so a sanitizer finds any access beyond them. */

#define _POSIX_C_SOURCE 200112L
#include "packed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARENA = 1 << 24, MOST_IMAGE = 1 << 20 };

static void *block(size_t size)
{
    void *found = NULL;
    if (posix_memalign(&found, PACKED_ALIGNMENT, size ? size : 1) != 0)
        exit(2);
    memset(found, 0, size);
    return found;
}

static void *part(FILE *file, size_t size)
{
    void *bytes = block(size);
    if (fread(bytes, 1, size, file) != size)
        exit(3);
    return bytes;
}

static unsigned differing(const float *one, const uint8_t *other, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)one;
    unsigned count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] != other[i] ? 1U : 0U;
    return count;
}

static unsigned run_case(const packed_model *model, const float *inputs, size_t images,
                         const uint8_t *expected)
{
    unsigned wrong = 0;
    for (unsigned n = 0; packed_variant(n) != NULL; n++) {
        float *outputs = block(images * model->outputs * sizeof(float));
        void *arena = block(model->arena);
        for (size_t i = 0; i < images; i++) {
            const float *image = inputs + i * model->inputs;
            if (i % 2) { /* an image may also be in the arena */
                memcpy(packed_input(model, arena), image, model->inputs * sizeof(float));
                image = packed_input(model, arena);
            }
            packed_run(model, packed_variant(n), image, outputs + i * model->outputs, arena);
        }
        if (expected != NULL)
            wrong += differing(outputs, expected, images * model->outputs * sizeof(float));
        free(outputs);
        free(arena);
    }
    return wrong;
}

int main(int count, char **arguments)
{
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    unsigned cases = 0, opened = 0, wrong = 0;
    uint32_t sizes[3];
    if (file == NULL)
        return 1;
    for (; fread(sizes, sizeof sizes, 1, file) == 1; cases++) {
        void *content = part(file, sizes[0]), *inputs = part(file, sizes[1]);
        uint8_t *outputs = part(file, sizes[2]);
        packed_model model;
        int is_open = packed_open(&model, content, sizes[0]) == NULL;
        opened += is_open ? 1U : 0U;
        if (is_open && sizes[2])
            wrong += run_case(&model, inputs, sizes[1] / sizeof(float) / model.inputs, outputs);
        else if (is_open && model.arena <= MOST_ARENA && model.inputs <= MOST_IMAGE) {
            void *zeros = block(model.inputs * sizeof(float));
            run_case(&model, zeros, 1, NULL);
            free(zeros);
        } else
            wrong += sizes[2] != 0 ? 1U : 0U;
        free(content);
        free(inputs);
        free(outputs);
    }
    fclose(file);
    printf("variants: %s\n", packed_variant(0)->name);
    printf("%u cases, %u opened, %u bytes differ\n", cases, opened, wrong);
    return 0;
}
