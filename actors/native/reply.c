/* What an ask waits for: a future, as far as anybody looks, whose waiters are woken together.
 *
 * A future of asyncio's schedules each of its callbacks by itself, which is a third of an ask. Replies that come in one
 * step of the loop have one handle there between them.
 */
#include "native.h"

enum { PENDING, RESULT, FAILED, CANCELLED };

typedef struct {
    PyObject_HEAD
    PyObject *loop;
    PyObject *value;              /* the result, or the error */
    PyObject *callback, *context; /* the first one: most have only that */
    PyObject *more;               /* a list of (callback, context), or NULL */
    PyObject *words;              /* of the cancellation */
    char state, blocking;         /* `blocking`: a task is about to wait; see `_asyncio_future_blocking` */
} Reply;

PyObject *reply_of(PyObject *loop)
{
    Reply *reply = PyObject_GC_New(Reply, &ReplyType);
    if (reply == NULL)
        return NULL;
    reply->loop = Py_NewRef(loop);
    reply->value = reply->callback = reply->context = reply->more = reply->words = NULL;
    reply->state = PENDING;
    reply->blocking = 0;
    PyObject_GC_Track(reply);
    return (PyObject *)reply;
}

static int wake_all(Reply *reply)
{
    PyObject *callback = reply->callback, *context = reply->context, *more = reply->more;
    reply->callback = reply->context = reply->more = NULL;
    int failed = callback != NULL ? wake_soon(reply->loop, (PyObject *)reply, callback, context) : 0;
    for (Py_ssize_t at = 0; !failed && more != NULL && at < PyList_GET_SIZE(more); at++) {
        PyObject *pair = PyList_GET_ITEM(more, at);
        failed = wake_soon(reply->loop, (PyObject *)reply, PyTuple_GET_ITEM(pair, 0),
                           PyTuple_GET_ITEM(pair, 1));
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(more);
    return failed;
}

/* --- The methods of a future. --- */

static PyObject *end(Reply *reply, char state, PyObject *value)
{
    if (reply->state != PENDING) {
        PyErr_SetString(the_InvalidStateError, "invalid state");
        return NULL;
    }
    reply->state = state;
    reply->value = Py_NewRef(value);
    if (wake_all(reply) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reply_set_result(PyObject *self, PyObject *value)
{
    return end((Reply *)self, RESULT, value);
}

static PyObject *reply_set_exception(PyObject *self, PyObject *error)
{
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "expected an instance of an exception, got %R", error);
        return NULL;
    }
    return end((Reply *)self, FAILED, error);
}

static PyObject *reply_cancel(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *words[] = {"msg", NULL};
    PyObject *said = Py_None;
    Reply *reply = (Reply *)self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", words, &said))
        return NULL;
    if (reply->state != PENDING)
        Py_RETURN_FALSE;
    reply->state = CANCELLED;
    reply->words = Py_NewRef(said);
    if (wake_all(reply) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *reply_done(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(((Reply *)self)->state != PENDING);
}

static PyObject *reply_cancelled(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(((Reply *)self)->state == CANCELLED);
}

/* Whether it has ended and was not cancelled; an error is set otherwise. */
static int has_ended(Reply *reply)
{
    if (reply->state == PENDING)
        PyErr_SetString(the_InvalidStateError, "Result is not set.");
    else if (reply->state == CANCELLED && reply->words != Py_None) {
        PyObject *error = PyObject_CallOneArg(the_CancelledError, reply->words);
        if (error != NULL) {
            PyErr_SetObject(the_CancelledError, error);
            Py_DECREF(error);
        }
    }
    else if (reply->state == CANCELLED)
        PyErr_SetNone(the_CancelledError);
    else
        return 1;
    return 0;
}

static PyObject *reply_result(PyObject *self, PyObject *Py_UNUSED(none))
{
    Reply *reply = (Reply *)self;
    if (!has_ended(reply))
        return NULL;
    if (reply->state == RESULT)
        return Py_NewRef(reply->value);
    PyErr_SetObject((PyObject *)Py_TYPE(reply->value), reply->value);
    return NULL;
}

static PyObject *reply_exception(PyObject *self, PyObject *Py_UNUSED(none))
{
    Reply *reply = (Reply *)self;
    if (!has_ended(reply))
        return NULL;
    return Py_NewRef(reply->state == FAILED ? reply->value : Py_None);
}

static PyObject *reply_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *words[] = {"", "context", NULL};
    PyObject *callback, *context = Py_None, *current = NULL;
    Reply *reply = (Reply *)self;
    int failed = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:add_done_callback", words, &callback, &context))
        return NULL;
    if (context == Py_None && (context = current = PyContext_CopyCurrent()) == NULL)
        return NULL;
    if (reply->state != PENDING)
        failed = wake_soon(reply->loop, (PyObject *)reply, callback, context);
    else if (reply->callback == NULL && reply->more == NULL) {
        reply->callback = Py_NewRef(callback);
        reply->context = Py_NewRef(context);
    }
    else if (reply->more == NULL && (reply->more = PyList_New(0)) == NULL)
        failed = -1;
    else {
        PyObject *pair = PyTuple_Pack(2, callback, context);
        failed = pair == NULL ? -1 : PyList_Append(reply->more, pair);
        Py_XDECREF(pair);
    }
    Py_XDECREF(current);
    if (failed < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reply_remove_done_callback(PyObject *self, PyObject *callback)
{
    Reply *reply = (Reply *)self;
    long removed = 0;
    if (reply->callback != NULL) {
        int same = PyObject_RichCompareBool(reply->callback, callback, Py_EQ);
        if (same < 0)
            return NULL;
        if (same) {
            Py_CLEAR(reply->callback);
            Py_CLEAR(reply->context);
            removed++;
        }
    }
    for (Py_ssize_t at = 0; reply->more != NULL && at < PyList_GET_SIZE(reply->more);) {
        PyObject *pair = PyList_GET_ITEM(reply->more, at);
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0), callback, Py_EQ);
        if (same < 0 || (same && PyList_SetSlice(reply->more, at, at + 1, NULL) < 0))
            return NULL;
        removed += same;
        at += !same;
    }
    return PyLong_FromLong(removed);
}

static PyObject *reply_get_loop(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(((Reply *)self)->loop);
}

static PyObject *reply_next(PyObject *self)
{
    Reply *reply = (Reply *)self;
    if (reply->state == PENDING) {
        reply->blocking = 1;
        return Py_NewRef(self);
    }
    PyObject *result = reply_result(self, NULL);
    return result == NULL ? NULL : as_call(PYGEN_RETURN, result);
}

static PySendResult reply_send(PyObject *self, PyObject *value, PyObject **result)
{
    Reply *reply = (Reply *)self;
    if (reply->state == PENDING) {
        reply->blocking = 1;
        *result = Py_NewRef(self);
        return PYGEN_NEXT;
    }
    return (*result = reply_result(self, NULL)) != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

static int reply_traverse(PyObject *self, visitproc visit, void *arg)
{
    Reply *reply = (Reply *)self;
    Py_VISIT(reply->loop);
    Py_VISIT(reply->value);
    Py_VISIT(reply->callback);
    Py_VISIT(reply->context);
    Py_VISIT(reply->more);
    Py_VISIT(reply->words);
    return 0;
}

static int reply_clear(PyObject *self)
{
    Reply *reply = (Reply *)self;
    Py_CLEAR(reply->loop);
    Py_CLEAR(reply->value);
    Py_CLEAR(reply->callback);
    Py_CLEAR(reply->context);
    Py_CLEAR(reply->more);
    Py_CLEAR(reply->words);
    return 0;
}

static void reply_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    reply_clear(self);
    PyObject_GC_Del(self);
}

static PyMethodDef reply_methods[] = {
    {"add_done_callback", (PyCFunction)(void (*)(void))reply_add_done_callback, METH_VARARGS | METH_KEYWORDS, NULL},
    {"cancel", (PyCFunction)(void (*)(void))reply_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"cancelled", reply_cancelled, METH_NOARGS, NULL},
    {"done", reply_done, METH_NOARGS, NULL},
    {"exception", reply_exception, METH_NOARGS, NULL},
    {"get_loop", reply_get_loop, METH_NOARGS, NULL},
    {"remove_done_callback", reply_remove_done_callback, METH_O, NULL},
    {"result", reply_result, METH_NOARGS, NULL},
    {"set_exception", reply_set_exception, METH_O, NULL},
    {"set_result", reply_set_result, METH_O, NULL},
    {NULL},
};

static PyMemberDef reply_members[] = {
    {"_asyncio_future_blocking", T_BOOL, offsetof(Reply, blocking), 0, "Whether a task is about to wait for it."},
    {"_loop", T_OBJECT, offsetof(Reply, loop), READONLY, NULL},
    {NULL},
};

static PyAsyncMethods reply_async = {.am_await = PyObject_SelfIter, .am_send = reply_send};

PyTypeObject ReplyType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "upright.actors._accelerator.Reply",
    .tp_doc = PyDoc_STR("What an ask waits for: a future of asyncio's, as far as anybody looks."),
    .tp_basicsize = sizeof(Reply),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_as_async = &reply_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = reply_next,
    .tp_methods = reply_methods,
    .tp_members = reply_members,
    .tp_traverse = reply_traverse,
    .tp_clear = reply_clear,
    .tp_dealloc = reply_dealloc,
};
