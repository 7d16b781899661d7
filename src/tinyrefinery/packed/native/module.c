/* Python binding: opens files and runs batches without the global lock. Stable ABI of 3.11. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "packed.h"

static const char CAPSULE[] = "tinyrefinery.packed._native.model";

typedef struct {
    packed_model model;
    Py_buffer content;
} opened;

static void close_model(PyObject *capsule)
{
    opened *held = PyCapsule_GetPointer(capsule, CAPSULE);
    if (held == NULL)
        return;
    PyBuffer_Release(&held->content);
    PyMem_Free(held);
}

static PyObject *open_model(PyObject *module, PyObject *content)
{
    (void)module;
    opened *held = PyMem_Calloc(1, sizeof *held);
    if (held == NULL)
        return PyErr_NoMemory();
    if (PyObject_GetBuffer(content, &held->content, PyBUF_SIMPLE) != 0) {
        PyMem_Free(held);
        return NULL;
    }
    const char *problem = packed_open(&held->model, held->content.buf, (size_t)held->content.len);
    PyObject *capsule = problem == NULL ? PyCapsule_New(held, CAPSULE, close_model) : NULL;
    if (capsule == NULL) {
        if (problem != NULL)
            PyErr_SetString(PyExc_ValueError, problem);
        PyBuffer_Release(&held->content);
        PyMem_Free(held);
    }
    return capsule;
}

static int fits(const opened *held, const Py_buffer *in, const Py_buffer *out,
                const Py_buffer *arena, size_t images)
{
    size_t row = held->model.inputs * sizeof(float), result = held->model.outputs * sizeof(float);
    return images <= PY_SSIZE_T_MAX / (row > result ? row : result) &&
           (size_t)in->len == images * row && (size_t)out->len == images * result &&
           (size_t)arena->len >= held->model.arena &&
           (uintptr_t)arena->buf % PACKED_ALIGNMENT == 0 && (uintptr_t)in->buf % 4 == 0 &&
           (uintptr_t)out->buf % 4 == 0;
}

static PyObject *run_model(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *capsule;
    Py_buffer in, out, arena;
    unsigned int variant, images;
    if (!PyArg_ParseTuple(arguments, "OIIy*w*w*", &capsule, &variant, &images, &in, &out, &arena))
        return NULL;
    const opened *held = PyCapsule_GetPointer(capsule, CAPSULE);
    const packed_kernels *kernels = packed_variant(variant);
    int is_good = held != NULL && kernels != NULL && fits(held, &in, &out, &arena, images);
    if (is_good) {
        const packed_model *model = &held->model;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < images; i++)
            packed_run(model, kernels, (const float *)in.buf + i * model->inputs,
                       (float *)out.buf + i * model->outputs, arena.buf);
        Py_END_ALLOW_THREADS
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "buffers do not fit the network");
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    PyBuffer_Release(&arena);
    if (!is_good)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *variants(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    PyObject *names = PyList_New(0);
    for (unsigned i = 0; names != NULL && packed_variant(i) != NULL; i++) {
        PyObject *name = PyUnicode_FromString(packed_variant(i)->name);
        if (name == NULL || PyList_Append(names, name) != 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"open", open_model, METH_O, "Check the bytes of a file and open them."},
    {"run", run_model, METH_VARARGS, "run(model, variant, images, inputs, outputs, arena)"},
    {"variants", variants, METH_NOARGS, "Names of the variants for this processor."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Runtime of packed networks.", 0, methods, slots,
    NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
