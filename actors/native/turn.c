/* One message in a drain: whether it is still wanted, its handler, its answer or its error. */
#include "drain.h"

double clock_now(Drain *drain)
{
    PyObject *now = PyObject_CallNoArgs(drain->now);
    if (now == NULL)
        return -1;
    double value = PyFloat_AsDouble(now);
    Py_DECREF(now);
    return value;
}

int is_expired(Drain *drain, PyObject *envelope, PyObject *reply)
{
    PyObject *answer = PyObject_CallMethodNoArgs(reply, str_done);
    if (answer == NULL)
        return -1;
    int late = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    if (late == 0 && IS_A(envelope, Question)) {
        double deadline = PyFloat_AsDouble(GET(envelope, Question, deadline)), now = clock_now(drain);
        if (PyErr_Occurred())
            return -1;
        late = now >= deadline;
    }
    if (late <= 0)
        return late;
    PyObject *pair[] = {drain->life, envelope, reply};
    if ((answer = PyObject_VectorcallMethod(str_expired, pair, 3, NULL)) == NULL)
        return -1;
    late = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return late;
}

PyObject *called(Drain *drain, PyObject *envelope, PyObject *function)
{
    /* Held: one that is no coroutine function runs now, and may do what replaces all of them. */
    PyObject *args = Py_NewRef(GET(envelope, Envelope, args)), *kwargs = Py_NewRef(GET(envelope, Envelope, kwargs));
    PyObject *instance = Py_NewRef(GET(drain->life, Life, instance)), *some[8], *answer = NULL, *all = NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    Py_INCREF(function);
    if (count <= 6) {
        some[0] = NULL;
        some[1] = instance;
        for (Py_ssize_t at = 0; at < count; at++)
            some[at + 2] = PyTuple_GET_ITEM(args, at);
        size_t flagged = (size_t)(count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        answer = kwargs == Py_None ? PyObject_Vectorcall(function, some + 1, flagged, NULL)
                                   : PyObject_VectorcallDict(function, some + 1, flagged, kwargs);
    }
    else if ((all = PyTuple_New(count + 1)) != NULL) {
        PyTuple_SET_ITEM(all, 0, Py_NewRef(instance));
        for (Py_ssize_t at = 0; at < count; at++)
            PyTuple_SET_ITEM(all, at + 1, Py_NewRef(PyTuple_GET_ITEM(args, at)));
        answer = PyObject_Call(function, all, kwargs == Py_None ? NULL : kwargs);
        Py_DECREF(all);
    }
    Py_DECREF(function);
    Py_DECREF(instance);
    Py_DECREF(kwargs);
    Py_DECREF(args);
    if (answer == NULL || PyCoro_CheckExact(answer))
        return answer;
    PyObject *coroutine = PyObject_CallOneArg(the_awaited, answer);
    Py_DECREF(answer);
    return coroutine;
}

int failed(Drain *drain)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    int was_called = traceback != NULL || !PyErr_GivenExceptionMatches(error, PyExc_TypeError);
    PyObject *began = PyFloat_FromDouble(drain->observed ? drain->began : -1.0), *follows = NULL;
    if (began != NULL)
        follows = PyObject_CallFunctionObjArgs(the_fail_turn, drain->life, drain->envelope, error, began,
                                               was_called ? Py_True : Py_False, NULL);
    Py_XDECREF(began);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    drain->stage = FAILS;
    return (drain->steps.inner = follows) == NULL ? -1 : 1;
}

/* `Waker.join`. */
static int join(PyObject *waker, PyObject *reply, PyObject *result)
{
    PyObject *waiting = IS(reply, Future) ? PyObject_GetAttr(reply, str__callbacks) : Py_NewRef(Py_None), *woken = NULL;
    if (waiting == NULL)
        return -1;
    int done = 0;
    if (PyList_CheckExact(waiting) && PyList_GET_SIZE(waiting) == 1) {
        PyObject *pair = PyList_GET_ITEM(waiting, 0), *callback = PyTuple_GET_ITEM(pair, 0);
        woken = PyTuple_Pack(3, callback, PyTuple_GET_ITEM(pair, 1), reply);
        done = woken == NULL ? -1 : call(reply, str_remove_done_callback, callback);
    }
    if (done == 0)
        done = call(reply, str_set_result, result);
    if (done == 0 && woken != NULL)
        done = append(GET(waker, Waker, due), woken);
    Py_XDECREF(woken);
    Py_DECREF(waiting);
    return done;
}

/* Whether a reply that is given now is woken with those before it; -1 and an error. */
static int joins(PyObject *waker, PyObject *ready)
{
    PyObject *last = PySequence_GetItem(ready, Py_SIZE(ready) - 1), *begun;
    if (last == NULL)
        return -1;
    Py_DECREF(last); /* the loop has it */
    if (last == GET(waker, Waker, handle))
        return 1;
    if (last != PyLong_AsVoidPtr(GET(waker, Waker, last)))
        return 0;
    if ((begun = PyObject_CallMethodNoArgs(waker, str_begin)) == NULL)
        return -1;
    Py_DECREF(begun);
    return begun == Py_True;
}

/* `Waker.answer`. */
static int answer(PyObject *waker, PyObject *reply, PyObject *result)
{
    PyObject *ready = GET(waker, Waker, ready), *last, *id;
    if (!IS(ready, deque))
        return call(reply, str_set_result, result);
    int together = Py_SIZE(ready) ? joins(waker, ready) : 0;
    if (together != 0)
        return together < 0 ? -1 : join(waker, reply, result);
    if (call(reply, str_set_result, result) < 0)
        return -1;
    if (Py_SIZE(ready)) {
        if ((last = PySequence_GetItem(ready, Py_SIZE(ready) - 1)) == NULL || (id = PyLong_FromVoidPtr(last)) == NULL) {
            Py_XDECREF(last);
            return -1;
        }
        SET(waker, Waker, last, id);
        Py_DECREF(id);
        Py_DECREF(last);
    }
    return 0;
}

int settle(Drain *drain, PyObject *result)
{
    PyObject *envelope = drain->envelope, *reply = GET(envelope, Envelope, reply);
    if (reply != Py_None && GET(envelope, Envelope, phase) == IN_HAND &&
        answer(GET(GET(drain->life, Life, lane), Dispatcher, waker), reply, result) < 0) {
        if (!PyErr_ExceptionMatches(the_InvalidStateError))
            return -1;
        PyErr_Clear(); /* whoever asked has stopped waiting */
    }
    if (drain->observed) {
        PyObject *done = PyObject_CallMethod(drain->life, "tell_processed", "Ods", envelope, drain->began, "ok");
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    return 0;
}
