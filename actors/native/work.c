/* `Dispatcher.work`: activates what is ready until it is time to return to the event loop. */
#include "native.h"

/* The steps of a job's activation, not begun yet. */
static PyObject *activated(PyObject *job)
{
    if (IS(job, Life) && GET(job, Life, stack) == Py_None && GET(job, Life, phase) == the_RUNNING &&
        GET(job, Life, context) != the_UNUSED)
        return drain_of(job);
    return PyObject_CallMethodNoArgs(job, str_activate);
}

/* One step inside the job's context. */
static PySendResult step(PyObject *job, PyObject *steps, PyObject **result)
{
    PySendResult how = PYGEN_ERROR;
    PyObject *context = IS(job, Life) ? Py_NewRef(GET(job, Life, context)) : PyObject_GetAttr(job, str_context);
    *result = NULL;
    if (context != NULL && PyContext_Enter(context) == 0) {
        how = PyIter_Send(steps, Py_None, result);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(*result);
            how = PYGEN_ERROR;
        }
    }
    Py_XDECREF(context);
    return how;
}

/* Whether to return to the loop after an activation. */
static int is_time(PyObject *self, PyObject *task, PyObject *more, long left)
{
    int now = more == Py_False ? 0 : PyObject_IsTrue(more);
    if (now != 0 || left <= 0)
        return now < 0 ? -1 : 1;
    if (!(left & 7)) {
        PyObject *clock = PyObject_CallNoArgs(GET(self, Dispatcher, clock));
        if (clock == NULL)
            return -1;
        now = PyObject_RichCompareBool(clock, GET(self, Dispatcher, until), Py_GT);
        Py_DECREF(clock);
        if (now != 0)
            return now;
    }
    return GET(task, Carrier, struck) != Py_False; /* the handler may have cancelled its task and then not waited */
}

static int keep_left(PyObject *self, long left)
{
    PyObject *number = PyLong_FromLong(left);
    if (number == NULL)
        return -1;
    SET(self, Dispatcher, left, number);
    Py_DECREF(number);
    return 0;
}

PyObject *work_begin(PyObject *Py_UNUSED(method), PyObject *const *args, size_t flagged, PyObject *names)
{
    if (PyVectorcall_NARGS(flagged) != 2 || (names != NULL && PyTuple_GET_SIZE(names)) ||
        !IS_A(args[0], Dispatcher) || !IS_A(args[1], Carrier)) {
        PyErr_SetString(PyExc_TypeError, "Dispatcher.work() takes the carrier, and nothing else");
        return NULL;
    }
    PyObject *self = args[0], *task = args[1], *ready = GET(self, Dispatcher, ready), *given;
    PyObject *shown = GET(self, Dispatcher, _shown);
    long left = PyLong_AsLong(GET(self, Dispatcher, left)), stint = PyLong_AsLong(GET(self, Dispatcher, stint));
    if (!IS(ready, deque))
        return PyErr_Format(PyExc_TypeError, "expected a deque of what is ready, got %R", ready);
    while (Py_SIZE(ready)) {
        PyObject *job = deque_popleft(ready, NULL), *steps = NULL;
        if (job == NULL)
            return NULL;
        SET(shown, Dispatcher, now, job);
        if ((steps = activated(job)) == NULL) {
            Py_DECREF(job);
            return NULL;
        }
        switch (step(job, steps, &given)) {
        case PYGEN_NEXT:
            if (keep_left(self, left) == 0)
                return Py_BuildValue("(NNN)", job, steps, given);
            Py_DECREF(given);
            /* fall through */
        case PYGEN_ERROR:
            Py_DECREF(steps);
            Py_DECREF(job);
            return NULL;
        default:
            break;
        }
        Py_DECREF(steps);
        SET(shown, Dispatcher, now, Py_None);
        int enough = is_time(self, task, given, --left);
        Py_DECREF(given);
        if (enough > 0 && stint == 1) {
            PyObject *path = PyObject_GetAttr(job, str_path);
            if (path == NULL || PyObject_SetAttr(task, str_after, path) < 0)
                enough = -1;
            Py_XDECREF(path);
        }
        Py_DECREF(job);
        if (enough < 0)
            return NULL;
        if (enough)
            break;
    }
    if (keep_left(self, left) < 0)
        return NULL;
    Py_RETURN_NONE;
}
