/* `Life.serve`: the path of every message that is handled. It is that method, line by line; what is rare stays in
 * Python, and is called.
 */
#include "native.h"

enum { FRESH, ATTENDS, HANDLES, FAILS, BY_PYTHON }; /* what `inner` is */

typedef struct {
    Steps steps;
    PyObject *life, *mailbox, *queue, *seat, *variables, *envelope, *now;
    Py_ssize_t shared, seated; /* references to the variables and to the seat, while no copy of the context is left */
    double began;              /* when the handler was called; only while somebody is told of every message */
    long done, look;
    char stage, plain, at_once, observed; /* `plain`: the mailbox has its fields in slots, and no properties instead */
} Drain;

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
    drain->now = NULL;
    drain->steps.running = drain->steps.over = drain->observed = drain->at_once = drain->plain = 0;
    drain->stage = FRESH;
    drain->life = Py_NewRef(life);
    PyObject_GC_Track(drain);
    return (PyObject *)drain;
}

PyObject *serve_begin(PyObject *Py_UNUSED(method), PyObject *const *args, size_t flagged, PyObject *names)
{
    if (PyVectorcall_NARGS(flagged) != 1 || (names != NULL && PyTuple_GET_SIZE(names)) || !IS_A(args[0], Life)) {
        PyErr_SetString(PyExc_TypeError, "Life.serve() takes no arguments");
        return NULL;
    }
    return drain_of(args[0]);
}

static void sit_down(Drain *drain, PyObject *seat)
{
    Py_XSETREF(drain->seat, seat);
    Py_XSETREF(drain->variables, Py_NewRef(GET(drain->life, Life, variables)));
    drain->shared = Py_REFCNT(drain->variables);
    drain->seated = Py_REFCNT(seat);
}

/* 1: ready. 0: it is something that only the Python method knows, which is `inner` then. */
static int begin(Drain *drain)
{
    PyObject *life = drain->life, *runtime = GET(life, Life, runtime), *cell = GET(life, Life, cell), *value;
    if (!IS_A(cell, Identity))
        goto by_python;
    drain->mailbox = Py_NewRef(GET(cell, Identity, mailbox));
    if (!IS_A(drain->mailbox, Mailbox))
        goto by_python;
    drain->plain = IS(drain->mailbox, Mailbox);
    if (!drain->plain) {
        if ((value = PyObject_GetAttr(drain->mailbox, str_at_once)) == NULL)
            return -1;
        drain->at_once = value == Py_True;
        Py_DECREF(value);
    }
    if ((drain->queue = PyObject_CallMethodNoArgs(drain->mailbox, str_unfold)) == NULL)
        return -1;
    if (!IS(drain->queue, deque))
        goto by_python;
    drain->observed = GET(GET(runtime, Runtime, bus), EventBus, every_message) == Py_True;
    drain->now = Py_NewRef(GET(GET(runtime, Runtime, deadlines), Deadlines, now));
    value = GET(life, Life, seat);
    value = value != Py_None ? Py_NewRef(value) : PyObject_CallMethodNoArgs(life, str_take_seat);
    if (value == NULL)
        return -1;
    sit_down(drain, value);
    drain->done = 0;
    drain->look = (long)first_look;
    return 1;
by_python:
    drain->stage = BY_PYTHON;
    return (drain->steps.inner = PyObject_CallOneArg(the_serve, life)) == NULL ? -1 : 0;
}

/* The time of the loop; -1 and an error, as with numbers. */
static double clock_now(Drain *drain)
{
    PyObject *now = PyObject_CallNoArgs(drain->now);
    if (now == NULL)
        return -1;
    double value = PyFloat_AsDouble(now);
    Py_DECREF(now);
    return value;
}

/* Those who wait for room may go on. */
static int pauses(Drain *drain)
{
    if (drain->plain && GET(drain->mailbox, Mailbox, waiting) == Py_None)
        return 0;
    return call(drain->life, str_pauses, NULL);
}

/* Nobody is to wait while there is room, not even for the time of a drain. */
static int admit(PyObject *mailbox)
{
    PyObject *waiting = PyObject_GetAttr(mailbox, str_waiting);
    int some = waiting == NULL ? -1 : PyObject_IsTrue(waiting);
    Py_XDECREF(waiting);
    return some > 0 ? call(mailbox, str_release, NULL) : some;
}

/* An ask that nobody waits for any more. */
static int is_expired(Drain *drain, PyObject *envelope, PyObject *reply)
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

/* Calls the handler: its coroutine, not begun yet, or NULL and an error. */
static PyObject *called(Drain *drain, PyObject *envelope, PyObject *function)
{
    PyObject *args = GET(envelope, Envelope, args), *kwargs = GET(envelope, Envelope, kwargs), *some[8];
    PyObject *instance = GET(drain->life, Life, instance), *answer;
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (count > 6) {
        PyObject *all = PyTuple_New(count + 1);
        if (all == NULL)
            return NULL;
        PyTuple_SET_ITEM(all, 0, Py_NewRef(instance));
        for (Py_ssize_t at = 0; at < count; at++)
            PyTuple_SET_ITEM(all, at + 1, Py_NewRef(PyTuple_GET_ITEM(args, at)));
        answer = PyObject_Call(function, all, kwargs == Py_None ? NULL : kwargs);
        Py_DECREF(all);
    }
    else {
        some[0] = NULL;
        some[1] = instance;
        for (Py_ssize_t at = 0; at < count; at++)
            some[at + 2] = PyTuple_GET_ITEM(args, at);
        answer = PyObject_VectorcallDict(function, some + 1, (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                         kwargs == Py_None ? NULL : kwargs);
    }
    if (answer == NULL || PyCoro_CheckExact(answer))
        return answer;
    PyObject *iterator = iterator_of(answer);
    Py_DECREF(answer);
    return iterator;
}

/* The handler raised: what follows is a coroutine of Python's. */
static int failed(Drain *drain)
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

/* It has nothing more to do for now; its answer is the drain's. */
static int rest(Drain *drain)
{
    PyObject *life = drain->life, *mailbox = drain->mailbox, *control;
    SET(drain->seat, Seat, turn, Py_None);
    if (drain->envelope != NULL) {
        envelope_done(drain->envelope);
        drain->envelope = NULL;
    }
    if (pauses(drain) < 0)
        return -1;
    control = GET(life, Life, control);
    if (Py_SIZE(drain->queue) || (control != Py_None && Py_SIZE(control)) || GET(life, Life, leaving) != Py_None ||
        GET(life, Life, detached) == Py_True) {
        if (call(GET(life, Life, lane), str_push, life) < 0)
            return -1;
        return drain->done > 1 && Py_SIZE(drain->queue);
    }
    if (drain->plain)
        SET(mailbox, Mailbox, asleep, Py_True);
    else if (PyObject_SetAttr(mailbox, str_asleep, Py_True) < 0)
        return -1;
    PyObject *activity = GET(GET(life, Life, runtime), Runtime, activity);
    long going = PyLong_AsLong(GET(activity, Activity, count)) - 1;
    PyObject *count = PyLong_FromLong(going ? going : 1);
    if (count == NULL)
        return -1;
    SET(activity, Activity, count, count);
    Py_DECREF(count);
    if (!going) { /* somebody may wait for that */
        PyObject *less = PyLong_FromLong(-1);
        int told = less == NULL ? -1 : call(activity, str_add, less);
        Py_XDECREF(less);
        return told;
    }
    return 0;
}

/* Takes the next message, or whatever else there is. 1: `inner` is to be begun. 0: the drain has ended. */
static int next(Drain *drain, int attended, int *answer)
{
    PyObject *life = drain->life, *mailbox = drain->mailbox, *queue = drain->queue, *envelope, *handler, *reply;
    for (;; attended = 0) {
        if (!attended && GET(life, Life, attention) == Py_True) { /* attended to, it may still stand */
            SET(drain->seat, Seat, turn, Py_None);
            drain->stage = ATTENDS;
            return (drain->steps.inner = PyObject_CallMethodNoArgs(life, str_attend)) == NULL ? -1 : 1;
        }
        if (!Py_SIZE(queue)) {
            if (pauses(drain) < 0)
                return -1;
            if (Py_SIZE(queue))
                continue; /* what came in may have to wait for what overlaps */
            break;
        }
        if (drain->done == drain->look) {
            if (drain->done >= budget)
                break;
            double now = clock_now(drain), until = PyFloat_AsDouble(GET(GET(life, Life, lane), Dispatcher, until));
            if (PyErr_Occurred())
                return -1;
            if (now > until)
                break;
            drain->look = drain->look * 2 < budget ? drain->look * 2 : (long)budget;
        }
        drain->done++;
        if ((envelope = PyObject_CallOneArg(the_deque_popleft, queue)) == NULL)
            return -1;
        if (drain->envelope != NULL) {
            SET(drain->seat, Seat, turn, Py_None);
            envelope_done(drain->envelope);
        }
        drain->envelope = envelope;
        if (drain->at_once && admit(mailbox) < 0)
            return -1;
        if (!IS_A(envelope, Envelope)) {
            PyErr_SetString(PyExc_SystemError, "expected an envelope in a mailbox");
            return -1;
        }
        if (GET(envelope, Envelope, phase) != QUEUED)
            continue;
        if ((reply = GET(envelope, Envelope, reply)) != Py_None) {
            int expired = is_expired(drain, envelope, reply);
            if (expired < 0)
                return -1;
            if (expired)
                continue;
        }
        SET(envelope, Envelope, phase, IN_HAND);
        handler = GET(envelope, Envelope, handler);
        if (PyLong_AsLong(GET(handler, Handler, limit))) {
            if (call(life, str_overlap, envelope) < 0)
                return -1;
            continue;
        }
        SET(drain->seat, Seat, turn, envelope);
        if (drain->observed) {
            PyObject *now = PyObject_CallMethodNoArgs(GET(GET(life, Life, runtime), Runtime, loop), str_time);
            if (now == NULL)
                return -1;
            drain->began = PyFloat_AsDouble(now);
            Py_DECREF(now);
        }
        drain->stage = HANDLES;
        drain->steps.inner = called(drain, envelope, GET(handler, Handler, function));
        return drain->steps.inner != NULL ? 1 : failed(drain);
    }
    if ((*answer = rest(drain)) < 0)
        return -1;
    return 0;
}

/* The handler has returned. */
static int settle(Drain *drain, PyObject *result)
{
    PyObject *envelope = drain->envelope, *reply = GET(envelope, Envelope, reply);
    if (reply != Py_None && GET(envelope, Envelope, phase) == IN_HAND && call(reply, str_set_result, result) < 0) {
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

/* Between two messages. 1: go on. 0: the context is not to be used any more. */
static int between(Drain *drain)
{
    if (GET(drain->seat, Seat, link) != Py_None && call(drain->seat, str_over, NULL) < 0)
        return -1;
    if (Py_REFCNT(drain->variables) == drain->shared && Py_REFCNT(drain->seat) == drain->seated)
        return 1;
    PyObject *seat = PyObject_CallMethodNoArgs(drain->life, str_reseat);
    if (seat == NULL)
        return -1;
    if (seat == Py_None) {
        Py_DECREF(seat);
        return 0;
    }
    sit_down(drain, seat);
    return 1;
}

static PySendResult run(Drain *drain, PyObject *value, PyObject **result)
{
    PyObject *got = NULL, **inner = &drain->steps.inner;
    PySendResult how;
    int answer = 0, goes_on, attended = 0;
    if (drain->stage == FRESH) {
        if (value == NULL)
            return PYGEN_ERROR;
        int ready = begin(drain);
        if (ready < 0)
            return PYGEN_ERROR;
        if (!ready) {
            how = PyIter_Send(*inner, Py_None, &got);
            goto stepped;
        }
    }
    else {
        how = send_or_throw(*inner, value, &got);
        goto stepped;
    }
    for (;;) {
        int begun = next(drain, attended, &answer);
        if (begun < 0)
            return PYGEN_ERROR;
        if (begun == 0)
            break;
        how = PyIter_Send(*inner, Py_None, &got);
    stepped:
        if (how == PYGEN_NEXT) {
            *result = got;
            return how;
        }
        Py_CLEAR(*inner);
        if (how == PYGEN_ERROR) {
            if (drain->stage != HANDLES || failed(drain) < 0)
                return how;
            how = PyIter_Send(*inner, Py_None, &got);
            goto stepped;
        }
        if (drain->stage == BY_PYTHON) {
            *result = got;
            return how;
        }
        goes_on = drain->stage == HANDLES ? settle(drain, got) : PyObject_IsTrue(got) - 1;
        Py_DECREF(got);
        if (goes_on < 0) {
            if (PyErr_Occurred())
                return PYGEN_ERROR;
            answer = 0;
            break;
        }
        if ((attended = drain->stage == ATTENDS))
            continue;
        if ((goes_on = between(drain)) < 0)
            return PYGEN_ERROR;
        if (!goes_on) {
            if ((answer = rest(drain)) < 0)
                return PYGEN_ERROR;
            break;
        }
    }
    *result = Py_NewRef(answer ? Py_True : Py_False);
    return PYGEN_RETURN;
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
    PySendResult how = run(drain, value, result);
    drain->steps.running = 0;
    if (how != PYGEN_NEXT) {
        drain->steps.over = 1;
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        drain_clear(self);
        PyErr_Restore(type, error, traceback);
    }
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
    {NULL},
};

static PyAsyncMethods drain_async = {.am_await = PyObject_SelfIter, .am_send = drain_send};

PyTypeObject DrainType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "upright.actors._accelerator.Drain",
    .tp_doc = PyDoc_STR("The coroutine of `Life.serve`."),
    .tp_basicsize = sizeof(Drain),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_as_async = &drain_async,
    .tp_iternext = steps_next,
    .tp_methods = steps_methods,
    .tp_members = steps_members,
    .tp_getset = drain_names,
    .tp_traverse = drain_traverse,
    .tp_clear = drain_clear,
    .tp_dealloc = drain_dealloc,
};
