/* `Life.serve`: the path of every message that is handled. It is that method, line by line; what is rare stays in
 * Python, and is called.
 */
#include "drain.h"

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
    if (!IS_ACTOR(cell))
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
    drain->queue = Py_NewRef(GET(drain->mailbox, Mailbox, queue));
    if (!drain->plain || drain->queue == the_NOTHING) {
        Py_SETREF(drain->queue, PyObject_CallMethodNoArgs(drain->mailbox, str_unfold));
        if (drain->queue == NULL)
            return -1;
    }
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

/* It has nothing more to do for now; its answer is the drain's. */
static int rest(Drain *drain)
{
    PyObject *life = drain->life, *mailbox = drain->mailbox, *control;
    SET(drain->seat, Seat, turn, Py_None);
    PyObject *last = drain->envelope;
    drain->envelope = NULL;
    if (last != NULL)
        envelope_done(last);
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
    long going;
    if (!is_short(GET(activity, Activity, count), &going) || going != 1)
        return counted(activity, -1);
    PyObject *less = PyLong_FromLong(-1); /* the last one: somebody may wait for that */
    int told = less == NULL ? -1 : call(activity, str_add, less);
    Py_XDECREF(less);
    return told;
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
        if ((envelope = deque_popleft(queue, NULL)) == NULL)
            return -1;
        PyObject *last = drain->envelope;
        drain->envelope = envelope; /* first: what goes with the last one may run code that looks here */
        if (last != NULL) {
            SET(drain->seat, Seat, turn, Py_None);
            envelope_done(last);
        }
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
        long overlapping;
        if (!is_short(GET(handler, Handler, limit), &overlapping) || overlapping) {
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

PySendResult serve(Drain *drain, PyObject *value, PyObject **result)
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
