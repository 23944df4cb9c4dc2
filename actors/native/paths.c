/* `Ref.tell` and `Ref.ask` on their usual path: the actor is there and has room, in memory. */
#include "sending.h"

/* Envelopes that have done their work, to be used again: a new one would be an object more for the garbage collector,
 * which runs when so many more have come than gone, and a full mailbox is a thousand that have come.
 */
#define KEPT 1024
static PyObject *kept[KEPT];
static int kept_count;

void envelope_done(PyObject *envelope)
{
    if (Py_REFCNT(envelope) > 1 || !IS(envelope, Envelope) || kept_count == KEPT) {
        Py_DECREF(envelope);
        return;
    }
    SET(envelope, Envelope, handler, Py_None);
    SET(envelope, Envelope, args, Py_None);
    SET(envelope, Envelope, kwargs, Py_None);
    SET(envelope, Envelope, sender, Py_None);
    SET(envelope, Envelope, reply, Py_None);
    if (Py_REFCNT(envelope) > 1 || kept_count == KEPT) /* what has just gone may have run code */
        Py_DECREF(envelope);
    else
        kept[kept_count++] = envelope;
}

PyObject *envelope_of(PyObject *handler, PyObject *args, PyObject *kwargs, PyObject *sender)
{
    PyObject *envelope = kept_count ? kept[--kept_count] : NULL;
    if (envelope != NULL && Py_REFCNT(envelope) > 1) /* somebody who goes over all objects has found it */
        Py_CLEAR(envelope);
    if (envelope == NULL) {
        PyObject *fields[] = {NULL, handler, args, kwargs, sender};
        return PyObject_Vectorcall(the_Envelope, fields + 1, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    SET(envelope, Envelope, handler, handler);
    SET(envelope, Envelope, args, args);
    SET(envelope, Envelope, kwargs, kwargs);
    SET(envelope, Envelope, sender, sender);
    SET(envelope, Envelope, phase, QUEUED);
    if (!PyObject_GC_IsTracked(envelope)) /* msgspec leaves out those whose fields need none of it */
        PyObject_GC_Track(envelope);
    return envelope;
}

/* Whom a message is for, and who sends it. The sender is borrowed from the seat. */
typedef struct {
    PyObject *recipient, *mailbox, *handler, *seat, *sender;
} Way;

static void leave(Way *way)
{
    Py_XDECREF(way->recipient);
    Py_XDECREF(way->mailbox);
    Py_XDECREF(way->handler);
    Py_XDECREF(way->seat);
}

/* `Identity.wake`, for an actor of the usual class. */
static int wake(PyObject *recipient, PyObject *mailbox)
{
    PyObject *life, *lane;
    if (!IS(recipient, Cell) || (life = GET(recipient, Identity, life)) == Py_None || !IS(life, Life))
        return call(recipient, str_wake, NULL);
    if (counted(GET(GET(recipient, Identity, runtime), Runtime, activity), 1) < 0)
        return -1;
    SET(mailbox, Mailbox, asleep, Py_False);
    lane = GET(life, Life, lane);
    if (append(GET(lane, Dispatcher, ready), life) < 0)
        return -1;
    return GET(lane, Dispatcher, idle) == Py_True ? call(lane, str_rouse, NULL) : 0;
}

static int has_room(PyObject *mailbox)
{
    PyObject *admits = GET(mailbox, Mailbox, admits);
    int far = 0; /* there may be room for more than a C number can say, or for `inf`: that is for the Python to say */
    long most;
    if (!is_short(admits, &most))
        most = PyLong_CheckExact(admits) ? PyLong_AsLongAndOverflow(admits, &far) : 0;
    return far > 0 || Py_SIZE(GET(mailbox, Mailbox, queue)) < most;
}

/* The value of `TURN`, a new reference, or NULL and perhaps an error. Inside a handler it is the seat of the actor that
 * is carried now: whoever took it set both, and nobody else sets the variable in that context. To look there costs a
 * sixth of looking the variable up, for which each change from one actor to the next empties CPython's cache.
 */
static PyObject *seat_now(PyObject *runtime)
{
    PyObject *seat = NULL, *job = IS(runtime, Runtime) ? GET(GET(runtime, Runtime, dispatcher), Dispatcher, now) : NULL;
    if (job != NULL && IS(job, Life) && GET(job, Life, context) == PyThreadState_Get()->context)
        seat = GET(job, Life, seat);
    if (seat != NULL && seat != Py_None)
        return Py_NewRef(seat);
    return PyContextVar_Get(the_TURN, NULL, &seat) < 0 ? NULL : seat;
}

/* The way of a message: 1 if it is the usual one. To `leave` in any case. */
static int found(Sending *sending, Way *way)
{
    PyObject *recipient = GET(sending->ref, Ref, _found), *mailbox, *handler;
    *way = (Way){.sender = Py_None};
    if (recipient == NULL || !IS_ACTOR(recipient) || GET(recipient, Identity, gone) != Py_False)
        return 0;
    mailbox = GET(recipient, Identity, mailbox);
    if (!IS(mailbox, Mailbox) || !has_room(mailbox)) /* of others, `admits` may be more than a field */
        return 0;
    way->recipient = Py_NewRef(recipient);
    way->mailbox = Py_NewRef(mailbox);
    PyObject *known = GET(GET(recipient, Identity, handlers), HandlerTable, known);
    if ((handler = PyDict_GetItemWithError(known, sending->handler)) == NULL) {
        PyErr_Clear(); /* not hashable: the Python method says so better */
        return 0;
    }
    way->handler = Py_NewRef(handler);
    if ((way->seat = seat_now(GET(sending->ref, Ref, _directory))) == NULL)
        return -1;
    if (way->seat == Py_None)
        return 1;
    PyObject *turn = IS(way->seat, Seat) ? GET(way->seat, Seat, turn) : Py_None;
    if (turn == Py_None || GET(turn, Envelope, phase) != IN_HAND)
        return 0;
    way->sender = GET(way->seat, Seat, host);
    return 1;
}

/* 1: it is in. 0: there is no room any more, since to make an envelope may run a destructor that sends. */
static int put(Way *way, PyObject *envelope)
{
    if (!has_room(way->mailbox))
        return 0;
    if (append(GET(way->mailbox, Mailbox, queue), envelope) < 0)
        return -1;
    return GET(way->mailbox, Mailbox, asleep) == Py_True && wake(way->recipient, way->mailbox) < 0 ? -1 : 1;
}

int tell_at_once(Sending *sending)
{
    Way way;
    int usual = found(sending, &way);
    if (usual > 0) {
        PyObject *kwargs = sending->kwargs != NULL ? sending->kwargs : Py_None;
        PyObject *envelope = envelope_of(way.handler, sending->args, kwargs, way.sender);
        usual = envelope == NULL ? -1 : put(&way, envelope);
        Py_XDECREF(envelope);
    }
    leave(&way);
    return usual;
}

/* When an ask that begins now is to end, or a negative number and perhaps an error; `link`: the turn that asks. */
static double deadline_for(Sending *sending, PyObject *deadlines, PyObject *link)
{
    PyObject *clock = PyObject_CallNoArgs(GET(deadlines, Deadlines, now)), *within = GET(sending->ref, Ref, _within);
    if (clock == NULL)
        return -1;
    double now = PyFloat_AsDouble(clock), deadline = now + (within == Py_None ? ask_within : PyFloat_AsDouble(within));
    Py_DECREF(clock);
    if (link != NULL && IS_A(GET(link, Link, turn), Question)) {
        double most = PyFloat_AsDouble(GET(GET(link, Link, turn), Question, deadline));
        deadline = most < deadline ? most : deadline;
    }
    return PyErr_Occurred() || !(deadline > now) ? -1 : deadline;
}

/* `Deadlines.add`: the bucket that watches it, a new reference. */
static PyObject *watched(PyObject *deadlines, PyObject *question, double deadline, PyObject *path)
{
    PyObject *last = GET(deadlines, Deadlines, _last);
    if (floor(deadline / bucket_width) == PyFloat_AsDouble(GET(deadlines, Deadlines, _number)) && PyDict_Check(last))
        return PyDict_SetItem(last, question, path) < 0 ? NULL : Py_NewRef(last);
    PyObject *three[] = {deadlines, question, path};
    return PyObject_VectorcallMethod(str_add, three, 3, NULL);
}

static int waits(Sending *sending, Way *way, PyObject *runtime, PyObject *link)
{
    PyObject *deadlines = GET(runtime, Runtime, deadlines), *reply = NULL, *time = NULL, *question = NULL;
    double deadline = deadline_for(sending, deadlines, link);
    if (deadline < 0)
        return PyErr_Occurred() ? -1 : 0;
    if (link != NULL) {
        PyObject *done = PyObject_CallFunctionObjArgs(the_refuse_cycle, link, way->recipient, way->handler, NULL);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
    }
    PyObject *loop[] = {NULL, GET(runtime, Runtime, loop)};
    reply = PyObject_Vectorcall(the_Future, loop + 1, PY_VECTORCALL_ARGUMENTS_OFFSET, the_FUTURE_LOOP);
    time = PyFloat_FromDouble(deadline);
    int done = -1;
    if (reply == NULL || time == NULL)
        goto end;
    PyObject *kwargs = sending->kwargs != NULL ? sending->kwargs : Py_None;
    PyObject *fields[] = {NULL, way->handler, sending->args, kwargs, way->sender, reply, QUEUED, time,
                          link != NULL ? link : Py_None};
    question = PyObject_Vectorcall(the_Question, fields + 1, 8 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (question == NULL)
        goto end;
    sending->bucket = watched(deadlines, question, deadline, GET(sending->ref, Ref, path));
    if (sending->bucket == NULL)
        goto end;
    sending->question = Py_NewRef(question);
    if (link != NULL) {
        if (PyDict_SetItem(GET(link, Link, waits_for), reply, way->recipient) < 0)
            goto end;
        sending->link = Py_NewRef(link);
    }
    done = put(way, question);
    if (done > 0 && (sending->steps.inner = Py_TYPE(reply)->tp_as_async->am_await(reply)) == NULL)
        done = -1;
end:
    Py_XDECREF(reply);
    Py_XDECREF(time);
    Py_XDECREF(question);
    return done;
}

int ask_at_once(Sending *sending)
{
    PyObject *runtime = GET(sending->ref, Ref, _directory), *link = NULL;
    if (!IS(runtime, Runtime) || GET(sending->ref, Ref, _fail_fast) == Py_True)
        return 0;
    Way way;
    int usual = found(sending, &way);
    if (usual > 0 && way.seat != Py_None) {
        if ((link = PyObject_CallMethodNoArgs(way.seat, str_asking)) == NULL)
            usual = -1;
        else if (!Py_IS_TYPE(link, (PyTypeObject *)the_Link))
            usual = 0;
    }
    if (usual > 0)
        usual = waits(sending, &way, runtime, link);
    Py_XDECREF(link);
    leave(&way);
    if (usual <= 0 && sending->bucket != NULL)
        ask_ended(sending, usual < 0);
    return usual;
}

/* `dict.pop(key, None)`. */
static int forget(PyObject *dict, PyObject *key)
{
    int known = PyDict_Contains(dict, key);
    return known > 0 ? PyDict_DelItem(dict, key) : known;
}

int ask_ended(Sending *sending, int failed)
{
    PyObject *type = NULL, *error = NULL, *traceback = NULL, *question = sending->question;
    int done = 0;
    if (failed)
        PyErr_Fetch(&type, &error, &traceback);
    if (question != NULL) {
        PyObject *reply = GET(question, Envelope, reply);
        if (failed && reply != Py_None) { /* withdrawn, if nobody has answered; a reply that is done is left alone */
            done = call(reply, str_cancel, NULL);
        }
        int known = PyDict_Check(sending->bucket) ? PyDict_Contains(sending->bucket, question) : 0;
        if (known > 0)
            done |= PyDict_DelItem(sending->bucket, question);
        else {
            PyObject *runtime = GET(sending->ref, Ref, _directory);
            done |= known | call(GET(runtime, Runtime, deadlines), str_discard, question);
        }
        if (sending->link != NULL)
            done |= forget(GET(sending->link, Link, waits_for), reply);
    }
    Py_CLEAR(sending->question);
    Py_CLEAR(sending->bucket);
    Py_CLEAR(sending->link);
    if (failed) {
        PyErr_Clear();
        PyErr_Restore(type, error, traceback);
        return 0;
    }
    return done < 0 ? -1 : 0;
}
