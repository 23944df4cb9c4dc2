/* Replies that come in one step of the loop wake those who wait in one callback of the next. */
#include "native.h"

static PyObject *batch, *batch_loop; /* (callback, reply, context, …): what is woken in the next step of that loop */

/* Tells the loop of a callback that raised, as a handle does; -1 if it is an error that ends the loop. */
static int told(PyObject *loop)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
        return -1;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    PyObject *done = PyObject_CallMethod(loop, "call_exception_handler", "{sssO}", "message",
                                         "a callback of a reply failed", "exception", error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *flush(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count);
static PyMethodDef flush_method = {"wake_askers", (PyCFunction)(void (*)(void))flush, METH_FASTCALL, NULL};
static PyObject *flush_function;

static int call_soon(PyObject *loop, PyObject *list)
{
    if (flush_function == NULL && (flush_function = PyCFunction_New(&flush_method, NULL)) == NULL)
        return -1;
    PyObject *args[] = {loop, flush_function, loop, list, the_PLAIN};
    PyObject *handle = PyObject_VectorcallMethod(str_call_soon, args, 4, the_CONTEXT);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static PyObject *flush(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "expected a loop and what is to be woken there");
        return NULL;
    }
    PyObject *loop = args[0], *list = args[1];
    if (list == batch) { /* from here on another one is begun */
        Py_CLEAR(batch);
        Py_CLEAR(batch_loop);
    }
    for (Py_ssize_t at = 0; at + 2 < PyList_GET_SIZE(list); at += 3) {
        PyObject *callback = Py_NewRef(PyList_GET_ITEM(list, at)), *reply = Py_NewRef(PyList_GET_ITEM(list, at + 1));
        PyObject *context = Py_NewRef(PyList_GET_ITEM(list, at + 2)), *done = NULL;
        if (PyContext_Enter(context) == 0) {
            done = PyObject_CallOneArg(callback, reply);
            if (PyContext_Exit(context) < 0)
                Py_CLEAR(done);
        }
        Py_DECREF(callback);
        Py_DECREF(reply);
        Py_DECREF(context);
        Py_XDECREF(done);
        if (done == NULL && told(loop) < 0) { /* the others shall not wait for ever for that */
            PyObject *type, *error, *traceback;
            PyErr_Fetch(&type, &error, &traceback);
            PyObject *rest = PyList_GetSlice(list, at + 3, PyList_GET_SIZE(list));
            if (rest == NULL || (PyList_GET_SIZE(rest) && call_soon(loop, rest) < 0))
                PyErr_Clear();
            Py_XDECREF(rest);
            PyErr_Restore(type, error, traceback);
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

int wake_soon(PyObject *loop, PyObject *reply, PyObject *callback, PyObject *context)
{
    if (batch == NULL || batch_loop != loop) {
        PyObject *list = PyList_New(0);
        if (list == NULL || call_soon(loop, list) < 0) {
            Py_XDECREF(list);
            return -1;
        }
        Py_XSETREF(batch, list);
        Py_XSETREF(batch_loop, Py_NewRef(loop));
    }
    PyObject *list = Py_NewRef(batch);
    int failed = PyList_Append(list, callback) < 0 || PyList_Append(list, reply) < 0 ||
                 PyList_Append(list, context) < 0;
    Py_DECREF(list);
    return failed ? -1 : 0;
}
