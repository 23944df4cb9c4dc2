/* The coroutine that `Life.serve` returns. */
#include "drain.h"

#define KEPT 64
static Drain *kept[KEPT];
static int kept_count;

PyObject *drain_of(PyObject *life)
{
    Drain *drain;
    if (kept_count) {
        drain = kept[--kept_count];
        _Py_NewReference((PyObject *)drain);
    }
    else if ((drain = PyObject_GC_New(Drain, &DrainType)) == NULL)
        return NULL;
    drain->steps.inner = drain->mailbox = drain->queue = drain->seat = drain->variables = drain->envelope = NULL;
    drain->now = drain->steps.weaklist = NULL;
    drain->steps.running = drain->steps.over = drain->observed = drain->at_once = drain->plain = 0;
    drain->stage = FRESH;
    drain->life = Py_NewRef(life);
    return (PyObject *)drain;
}

PyObject *serve_begin(PyObject *Py_UNUSED(method), PyObject *const *args, size_t flagged, PyObject *names)
{
    if (PyVectorcall_NARGS(flagged) != 1 || (names != NULL && PyTuple_GET_SIZE(names)) || !IS_A(args[0], Life)) {
        PyErr_SetString(PyExc_TypeError, "Life.serve() takes no arguments");
        return NULL;
    }
    PyObject *drain = drain_of(args[0]);
    if (drain != NULL)
        PyObject_GC_Track(drain);
    return drain;
}

static int drain_clear(PyObject *self)
{
    Drain *drain = (Drain *)self;
    Py_CLEAR(drain->steps.inner);
    Py_CLEAR(drain->life);
    Py_CLEAR(drain->mailbox);
    Py_CLEAR(drain->queue);
    Py_CLEAR(drain->seat);
    Py_CLEAR(drain->variables);
    Py_CLEAR(drain->envelope);
    Py_CLEAR(drain->now);
    return 0;
}

static PySendResult drain_send(PyObject *self, PyObject *value, PyObject **result)
{
    Drain *drain = (Drain *)self;
    *result = NULL;
    if (refused(&drain->steps, value))
        return PYGEN_ERROR;
    drain->steps.running = 1;
    PySendResult how = serve(drain, value, result);
    drain->steps.running = 0;
    if (how != PYGEN_NEXT) {
        drain->steps.over = 1;
        clear_ended(self, how);
    }
    else if (!PyObject_GC_IsTracked(self)) /* it stays: until now nobody could have it but the carrier, in passing */
        PyObject_GC_Track(self);
    return how;
}

static int drain_traverse(PyObject *self, visitproc visit, void *arg)
{
    Drain *drain = (Drain *)self;
    Py_VISIT(drain->steps.inner);
    Py_VISIT(drain->life);
    Py_VISIT(drain->mailbox);
    Py_VISIT(drain->queue);
    Py_VISIT(drain->seat);
    Py_VISIT(drain->variables);
    Py_VISIT(drain->envelope);
    Py_VISIT(drain->now);
    return 0;
}

static void drain_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (((Steps *)self)->weaklist != NULL)
        PyObject_ClearWeakRefs(self);
    drain_clear(self);
    if (kept_count < KEPT)
        kept[kept_count++] = (Drain *)self;
    else
        PyObject_GC_Del(self);
}

static PyObject *drain_name(PyObject *Py_UNUSED(self), void *name)
{
    return PyUnicode_FromString(name);
}

static PyGetSetDef drain_names[] = {
    {"__name__", drain_name, NULL, NULL, "serve"},
    {"__qualname__", drain_name, NULL, NULL, "Life.serve"},
    {"cr_suspended", steps_suspended, NULL, NULL, NULL},
    {NULL},
};

static PyAsyncMethods drain_async = {.am_await = PyObject_SelfIter, .am_send = drain_send};

PyTypeObject DrainType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "upright.actors._accelerator.Drain",
    .tp_doc = PyDoc_STR("The coroutine of `Life.serve`."),
    .tp_basicsize = sizeof(Drain),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_as_async = &drain_async,
    .tp_weaklistoffset = offsetof(Steps, weaklist),
    .tp_iternext = steps_next,
    .tp_methods = steps_methods,
    .tp_members = steps_members,
    .tp_getset = drain_names,
    .tp_traverse = drain_traverse,
    .tp_clear = drain_clear,
    .tp_dealloc = drain_dealloc,
};
