/* What makes an object a coroutine: `send`, `throw`, `close`, and being awaited. */
#include "native.h"

/* The value of a StopIteration that was raised, or an error. */
static PySendResult ended(PyObject **result)
{
    if (!PyErr_Occurred()) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration))
        return PYGEN_ERROR;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    *result = Py_NewRef(((PyStopIterationObject *)error)->value);
    Py_DECREF(type);
    Py_DECREF(error);
    Py_XDECREF(traceback);
    return PYGEN_RETURN;
}

PySendResult send_or_throw(PyObject *awaited, PyObject *value, PyObject **result)
{
    *result = NULL;
    if (value != NULL)
        return PyIter_Send(awaited, value, result);
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    PyObject *throw, *closed;
    if (PyErr_GivenExceptionMatches(error, PyExc_GeneratorExit)) { /* what is awaited is closed, and has no say in it */
        int has = PyObject_GetOptionalAttr(awaited, str_close, &throw);
        closed = has > 0 ? PyObject_CallNoArgs(throw) : Py_NewRef(Py_None);
        Py_XDECREF(throw);
        if (has >= 0 && closed != NULL)
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_XDECREF(closed);
        Py_DECREF(error);
        return PYGEN_ERROR;
    }
    if (PyObject_GetOptionalAttr(awaited, str_throw, &throw) < 0) {
        Py_DECREF(error);
        return PYGEN_ERROR;
    }
    if (throw == NULL) { /* an iterator that knows no throwing lets it pass */
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
        return PYGEN_ERROR;
    }
    *result = PyObject_CallOneArg(throw, error);
    Py_DECREF(throw);
    Py_DECREF(error);
    return *result != NULL ? PYGEN_NEXT : ended(result);
}

int call(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *done = argument == NULL ? PyObject_CallMethodNoArgs(object, name)
                                      : PyObject_CallMethodOneArg(object, name, argument);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int refused(Steps *steps, PyObject *value)
{
    if (!steps->over && !steps->running)
        return 0;
    if (steps->over && value == NULL && PyErr_ExceptionMatches(PyExc_GeneratorExit))
        return 1; /* to close what has ended does nothing */
    PyErr_Clear();
    if (steps->over)
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    else
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return 1;
}

static PySendResult stepped(PyObject *self, PyObject *value, PyObject **result)
{
    return Py_TYPE(self)->tp_as_async->am_send(self, value, result);
}

static PyObject *as_call(PySendResult how, PyObject *result)
{
    if (how == PYGEN_NEXT)
        return result;
    if (how == PYGEN_RETURN) {
        if (result == Py_None)
            PyErr_SetNone(PyExc_StopIteration);
        else {
            PyObject *end = PyObject_CallOneArg(PyExc_StopIteration, result);
            if (end != NULL) {
                PyErr_SetObject(PyExc_StopIteration, end);
                Py_DECREF(end);
            }
        }
        Py_DECREF(result);
    }
    return NULL;
}

void clear_ended(PyObject *self, PySendResult how)
{
    if (how != PYGEN_ERROR) {
        Py_TYPE(self)->tp_clear(self);
        return;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    Py_TYPE(self)->tp_clear(self);
    PyErr_Restore(type, error, traceback);
}

static PyObject *steps_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult how = stepped(self, value, &result);
    return as_call(how, result);
}

PyObject *steps_next(PyObject *self)
{
    return steps_send(self, Py_None);
}

static PyObject *steps_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 1 || count > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", count);
        return NULL;
    }
    PyObject *type = args[0], *error = count > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *traceback = count > 2 && args[2] != Py_None ? args[2] : NULL;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return NULL;
    }
    if (PyExceptionInstance_Check(type)) {
        if (error != NULL) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return NULL;
        }
        error = type;
        type = (PyObject *)Py_TYPE(error);
        if (traceback != NULL)
            PyException_SetTraceback(error, traceback);
        PyErr_SetObject(type, error);
    }
    else if (PyExceptionClass_Check(type)) {
        Py_INCREF(type);
        Py_XINCREF(error);
        Py_XINCREF(traceback);
        PyErr_NormalizeException(&type, &error, &traceback);
        PyErr_Restore(type, error, traceback);
    }
    else {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(type)->tp_name);
        return NULL;
    }
    PyObject *result;
    PySendResult how = stepped(self, NULL, &result);
    return as_call(how, result);
}

PyObject *steps_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Steps *steps = (Steps *)self;
    if (steps->over)
        Py_RETURN_NONE;
    if (steps->inner == NULL && !steps->running) { /* not begun */
        steps->over = 1;
        Py_TYPE(self)->tp_clear(self);
        Py_RETURN_NONE;
    }
    PyErr_SetNone(PyExc_GeneratorExit);
    PyObject *result;
    PySendResult how = stepped(self, NULL, &result);
    if (how == PYGEN_NEXT) {
        Py_DECREF(result);
        PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
        return NULL;
    }
    if (how == PYGEN_RETURN) {
        Py_DECREF(result);
        Py_RETURN_NONE;
    }
    if (PyErr_ExceptionMatches(PyExc_GeneratorExit) || PyErr_ExceptionMatches(PyExc_StopIteration)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return NULL;
}

PyObject *steps_suspended(PyObject *self, void *Py_UNUSED(unused))
{
    Steps *steps = (Steps *)self;
    return PyBool_FromLong(steps->inner != NULL && !steps->running);
}

PyMethodDef steps_methods[] = {
    {"send", steps_send, METH_O, PyDoc_STR("Go on with a value.")},
    {"throw", (PyCFunction)(void (*)(void))steps_throw, METH_FASTCALL, PyDoc_STR("Go on with an error.")},
    {"close", steps_close, METH_NOARGS, PyDoc_STR("End it where it waits.")},
    {NULL},
};

PyMemberDef steps_members[] = {
    {"cr_await", T_OBJECT, offsetof(Steps, inner), READONLY, PyDoc_STR("The coroutine that it waits in, or None.")},
    {"cr_running", T_BOOL, offsetof(Steps, running), READONLY, PyDoc_STR("Whether it runs at this instant.")},
    {NULL},
};
