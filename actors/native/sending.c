/* The coroutine that `Ref.tell` and `Ref.ask` return. As with any, nothing happens before it is awaited. */
#include "sending.h"

#define KEPT 256
static Sending *kept[KEPT]; /* ended ones, to be used again */
static int kept_count;

static PyObject *sending_of(PyObject *const *args, size_t flagged, PyObject *names, int asks)
{
    Py_ssize_t count = PyVectorcall_NARGS(flagged);
    const char *name = asks ? "ask" : "tell";
    if (count < 1 || !IS_A(args[0], Ref)) {
        PyErr_Format(PyExc_TypeError, "expected Ref.%s to be called on a Ref, got %.100s", name,
                     count ? Py_TYPE(args[0])->tp_name : "nothing");
        return NULL;
    }
    if (count < 2) {
        PyErr_Format(PyExc_TypeError, "Ref.%s() missing 1 required positional argument: 'handler'", name);
        return NULL;
    }
    PyObject *kwargs = NULL, *rest = PyTuple_New(count - 2);
    Sending *sending = NULL;
    if (rest == NULL)
        return NULL;
    for (Py_ssize_t at = 2; at < count; at++)
        PyTuple_SET_ITEM(rest, at - 2, Py_NewRef(args[at]));
    if (names != NULL && PyTuple_GET_SIZE(names)) {
        if ((kwargs = PyDict_New()) == NULL)
            goto failed;
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(names); at++)
            if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, at), args[count + at]) < 0)
                goto failed;
    }
    if (kept_count) {
        sending = kept[--kept_count];
        _Py_NewReference((PyObject *)sending);
    }
    else if ((sending = PyObject_GC_New(Sending, &SendingType)) == NULL)
        goto failed;
    sending->steps.inner = sending->steps.weaklist = sending->question = sending->bucket = sending->link = NULL;
    sending->steps.running = sending->steps.over = 0;
    sending->asks = (char)asks;
    sending->stores = 0;
    sending->ref = Py_NewRef(args[0]);
    sending->handler = Py_NewRef(args[1]);
    sending->args = rest;
    sending->kwargs = kwargs;
    PyObject_GC_Track(sending);
    return (PyObject *)sending;
failed:
    Py_DECREF(rest);
    Py_XDECREF(kwargs);
    return NULL;
}

PyObject *tell_begin(PyObject *Py_UNUSED(method), PyObject *const *args, size_t flagged, PyObject *names)
{
    return sending_of(args, flagged, names, 0);
}

PyObject *ask_begin(PyObject *Py_UNUSED(method), PyObject *const *args, size_t flagged, PyObject *names)
{
    return sending_of(args, flagged, names, 1);
}

/* The Python method's coroutine. */
static PyObject *by_python(Sending *sending)
{
    Py_ssize_t count = PyTuple_GET_SIZE(sending->args);
    PyObject *all = PyTuple_New(count + 2);
    if (all == NULL)
        return NULL;
    PyTuple_SET_ITEM(all, 0, Py_NewRef(sending->ref));
    PyTuple_SET_ITEM(all, 1, Py_NewRef(sending->handler));
    for (Py_ssize_t at = 0; at < count; at++)
        PyTuple_SET_ITEM(all, at + 2, Py_NewRef(PyTuple_GET_ITEM(sending->args, at)));
    PyObject *coroutine = PyObject_Call(sending->asks ? the_ask : the_tell, all, sending->kwargs);
    Py_DECREF(all);
    return coroutine;
}

/* The first step. */
static PySendResult begin(Sending *sending, PyObject *value, PyObject **result)
{
    if (value == NULL)
        return PYGEN_ERROR;
    int usual = sending->asks ? ask_at_once(sending) : tell_at_once(sending);
    if (usual < 0)
        return PYGEN_ERROR;
    if (usual && !sending->asks) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (!usual && !sending->asks && (usual = store_at_once(sending)) < 0)
        return PYGEN_ERROR;
    if (!usual && (sending->steps.inner = by_python(sending)) == NULL)
        return PYGEN_ERROR;
    return PyIter_Send(sending->steps.inner, Py_None, result);
}

static int sending_clear(PyObject *self)
{
    Sending *sending = (Sending *)self;
    Py_CLEAR(sending->steps.inner);
    Py_CLEAR(sending->ref);
    Py_CLEAR(sending->handler);
    Py_CLEAR(sending->args);
    Py_CLEAR(sending->kwargs);
    Py_CLEAR(sending->question);
    Py_CLEAR(sending->bucket);
    Py_CLEAR(sending->link);
    return 0;
}

static PySendResult sending_send(PyObject *self, PyObject *value, PyObject **result)
{
    Sending *sending = (Sending *)self;
    Steps *steps = &sending->steps;
    *result = NULL;
    if (refused(steps, value))
        return PYGEN_ERROR;
    if (steps->inner == NULL && value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    steps->running = 1;
    PySendResult how =
        steps->inner == NULL ? begin(sending, value, result) : send_or_throw(steps->inner, value, result);
    steps->running = 0;
    if (how == PYGEN_NEXT)
        return how;
    steps->over = 1;
    if (sending->stores && how == PYGEN_RETURN) {
        PyObject *receipts = *result;
        if ((*result = PySequence_GetItem(receipts, 0)) == NULL)
            how = PYGEN_ERROR;
        Py_DECREF(receipts);
    }
    if (sending->question != NULL && ask_ended(sending, how == PYGEN_ERROR) < 0) {
        Py_CLEAR(*result);
        how = PYGEN_ERROR;
    }
    clear_ended(self, how); /* whoever keeps an ended coroutine, or its task, does not keep the arguments */
    return how;
}

/* Whoever awaits it waits alone. */
static PyObject *sending_await(PyObject *self)
{
    if (((Steps *)self)->inner != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(self);
}

static int sending_traverse(PyObject *self, visitproc visit, void *arg)
{
    Sending *sending = (Sending *)self;
    Py_VISIT(sending->steps.inner);
    Py_VISIT(sending->ref);
    Py_VISIT(sending->handler);
    Py_VISIT(sending->args);
    Py_VISIT(sending->kwargs);
    Py_VISIT(sending->question);
    Py_VISIT(sending->bucket);
    Py_VISIT(sending->link);
    return 0;
}

/* One that was never awaited is told of; one that waits is closed, as the interpreter does. */
static void sending_finalize(PyObject *self)
{
    Steps *steps = (Steps *)self;
    if (steps->over)
        return;
    PyObject *type, *error, *traceback, *done;
    PyErr_Fetch(&type, &error, &traceback);
    if (steps->inner == NULL) {
        steps->over = 1;
        const char *name = ((Sending *)self)->asks ? "ask" : "tell";
        if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'Ref.%s' was never awaited", name) < 0)
            PyErr_WriteUnraisable(self);
    }
    else if ((done = steps_close(self, NULL)) == NULL)
        PyErr_WriteUnraisable(self);
    else
        Py_DECREF(done);
    PyErr_Restore(type, error, traceback);
}

static void sending_dealloc(PyObject *self)
{
    if (!((Steps *)self)->over && PyObject_CallFinalizerFromDealloc(self) < 0)
        return;
    PyObject_GC_UnTrack(self);
    if (((Steps *)self)->weaklist != NULL)
        PyObject_ClearWeakRefs(self);
    sending_clear(self);
    if (kept_count < KEPT && !PyObject_GC_IsFinalized(self)) /* a finalizer runs once only, even of one used again */
        kept[kept_count++] = (Sending *)self;
    else
        PyObject_GC_Del(self);
}

static PyObject *sending_name(PyObject *self, void *before)
{
    return PyUnicode_FromFormat("%s%s", before, ((Sending *)self)->asks ? "ask" : "tell");
}

static PyObject *sending_code(PyObject *self, void *Py_UNUSED(unused))
{
    return PyObject_GetAttrString(((Sending *)self)->asks ? the_ask : the_tell, "__code__");
}

static PyObject *sending_frame(PyObject *self, void *Py_UNUSED(unused))
{
    PyObject *frame, *inner = ((Steps *)self)->inner;
    if (inner == NULL)
        Py_RETURN_NONE;
    if ((frame = PyObject_GetAttrString(inner, "cr_frame")) == NULL) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return frame;
}

static PyGetSetDef sending_names[] = {
    {"__name__", sending_name, NULL, NULL, ""},
    {"__qualname__", sending_name, NULL, NULL, "Ref."},
    {"cr_code", sending_code, NULL, NULL, NULL},
    {"cr_frame", sending_frame, NULL, NULL, NULL},
    {"cr_suspended", steps_suspended, NULL, NULL, NULL},
    {NULL},
};

static PyAsyncMethods sending_async = {.am_await = sending_await, .am_send = sending_send};

PyTypeObject SendingType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "upright.actors._accelerator.Sending",
    .tp_doc = PyDoc_STR("The coroutine of a tell or an ask."),
    .tp_basicsize = sizeof(Sending),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_as_async = &sending_async,
    .tp_weaklistoffset = offsetof(Steps, weaklist),
    .tp_iternext = steps_next,
    .tp_methods = steps_methods,
    .tp_members = steps_members,
    .tp_getset = sending_names,
    .tp_traverse = sending_traverse,
    .tp_clear = sending_clear,
    .tp_finalize = sending_finalize,
    .tp_dealloc = sending_dealloc,
};
