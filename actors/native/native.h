/* What the files of the accelerator share. See `actors/accelerator.py` for what it is and when it is used.
 *
 * The classes stay in Python. Their fields lie in slots, whose places `bind` reads from the classes themselves; so the
 * C here reads and writes the very fields that the Python reads and writes, without a look-up by name.
 *
 * Trap: a slot is read past any property that a subclass puts in its place. Where a subclass does so (`StruckMailbox`),
 * the exact class is asked for first.
 */
#ifndef UPRIGHT_NATIVE_H
#define UPRIGHT_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "the accelerator relies on the interpreter's lock"
#endif

#if PY_VERSION_HEX < 0x030D0000 /* it is public from then on */
#define PyObject_GetOptionalAttr _PyObject_LookupAttr
#endif

/* Class, field: one line for each class that is looked into. */
#define FIELDS(X)                                                                                                    \
    X(Activity, count) X(Birth, children) X(Birth, name) X(Birth, nursery) X(Blueprint, actor) X(Blueprint, mailbox) \
    X(Blueprint, serves) X(Carrier, struck) X(Deadlines, _last) X(Deadlines, _number) X(Deadlines, now)              \
    X(Dispatcher, _shown) X(Dispatcher, clock) X(Dispatcher, idle) X(Dispatcher, left) X(Dispatcher, now)            \
    X(Dispatcher, ready) X(Dispatcher, stint) X(Dispatcher, until) X(Dispatcher, waker) X(Envelope, args)            \
    X(Envelope, handler) X(Envelope, kwargs) X(Envelope, phase) X(Envelope, reply) X(Envelope, sender)               \
    X(EventBus, every_message) X(EventBus, heard) X(Handler, function) X(Handler, limit) X(HandlerTable, known)      \
    X(Identity, blueprint) X(Identity, gone) X(Identity, handlers) X(Identity, life) X(Identity, mailbox)            \
    X(Identity, path) X(Identity, runtime) X(Life, attention) X(Life, cell) X(Life, context) X(Life, control)        \
    X(Life, detached) X(Life, instance) X(Life, lane) X(Life, leaving) X(Life, phase) X(Life, runtime) X(Life, seat) \
    X(Life, stack) X(Life, variables) X(Link, turn) X(Link, waits_for) X(Mailbox, admits) X(Mailbox, asleep)         \
    X(Mailbox, owner) X(Mailbox, queue) X(Mailbox, waiting) X(Nursery, patterns) X(Nursery, prefix)                  \
    X(Question, deadline) X(Ref, _directory) X(Ref, _fail_fast) X(Ref, _found) X(Ref, _how) X(Ref, _within)          \
    X(Ref, path) X(Runtime, activity) X(Runtime, actors) X(Runtime, bus) X(Runtime, deadlines)                       \
    X(Runtime, dispatcher) X(Runtime, loop) X(Seat, host) X(Seat, link) X(Seat, turn) X(Waker, due) X(Waker, handle) \
    X(Waker, last) X(Waker, ready)

/* Classes that are asked for, constants and functions of the Python rooms. */
#define THINGS(X)                                                                                                    \
    X(Blueprint) X(CHILDLESS) X(Carrier) X(Cell) X(Dispatcher) X(Envelope) X(FUTURE_LOOP) X(Future) X(Identity)      \
    X(InvalidStateError) X(Life) X(Link) X(Mailbox) X(Nursery) X(Question) X(Ref) X(Runtime) X(Seat) X(IN_HAND)      \
    X(NOTHING) X(QUEUED) X(RUNNING) X(TURN) X(UNUSED) X(ask) X(awaited) X(child) X(deque) X(deque_append)            \
    X(deque_popleft) X(fail_turn) X(refuse_cycle) X(serve) X(tell) X(work)

/* Numbers of the Python rooms. */
#define NUMBERS(X) X(ASK_WITHIN, ask_within) X(BUDGET, budget) X(FIRST_LOOK, first_look) X(WIDTH, bucket_width)

#define PLACE(class, field) extern Py_ssize_t class##_##field;
FIELDS(PLACE)
#undef PLACE
#define THING(name) extern PyObject *the_##name;
THINGS(THING)
#undef THING

#define NUMBER(constant, name) extern double name;
NUMBERS(NUMBER)
#undef NUMBER
#define QUEUED the_QUEUED
#define IN_HAND the_IN_HAND

/* A field, borrowed. */
#define GET(object, class, field) (*(PyObject **)((char *)(object) + class##_##field))
#define IS(object, class) Py_IS_TYPE(object, (PyTypeObject *)the_##class)
#define IS_A(object, class) PyObject_TypeCheck(object, (PyTypeObject *)the_##class)
#define IS_ACTOR(object) (IS(object, Cell) || IS_A(object, Identity)) /* the first is what nearly all are */

/* Whether it is a number of a single digit, as nearly all of ours are, and then which: without a call. */
static inline int is_short(PyObject *number, long *value)
{
    if (!PyLong_CheckExact(number))
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number))
        return 0;
    *value = (long)PyUnstable_Long_CompactValue((PyLongObject *)number);
#else
    Py_ssize_t size = Py_SIZE(number);
    if (size != 0 && size != 1)
        return 0;
    *value = size ? (long)((PyLongObject *)number)->ob_digit[0] : 0;
#endif
    return 1;
}

static inline void set_at(PyObject *object, Py_ssize_t place, PyObject *value)
{
    PyObject **field = (PyObject **)((char *)object + place), *old = *field;
    *field = Py_NewRef(value);
    Py_XDECREF(old);
}
#define SET(object, class, field, value) set_at(object, class##_##field, value)

/* `activity.count += more`. */
static inline int counted(PyObject *activity, long more)
{
    long going;
    if (!is_short(GET(activity, Activity, count), &going))
        going = PyLong_AsLong(GET(activity, Activity, count));
    PyObject *count = PyLong_FromLong(going + more);
    if (count == NULL)
        return -1;
    SET(activity, Activity, count, count);
    Py_DECREF(count);
    return 0;
}

/* Names of methods, made once. */
#define NAMES(X)                                                                                                     \
    X(__handlers__) X(_callbacks) X(activate) X(add) X(admits) X(after) X(announce) X(append) X(asking) X(asleep)    \
    X(at_once) X(attend) X(begin) X(cancel) X(close) X(context) X(discard) X(done) X(expired) X(gone) X(handlers)    \
    X(keeper) X(known) X(mailbox) X(over) X(overlap) X(path) X(pattern) X(pauses) X(push) X(release)                 \
    X(remove_done_callback) X(reseat) X(rouse) X(set_result) X(store_plainly) X(take_seat) X(throw) X(time)          \
    X(unfold) X(waiting) X(wake)
#define NAME(name) extern PyObject *str_##name;
NAMES(NAME)
#undef NAME

/* `deque.append` and `deque.popleft` as the C that they are: four of these calls are made for a message. */
extern PyCFunction deque_append, deque_popleft;

static inline int append(PyObject *queue, PyObject *what)
{
    PyObject *added = IS(queue, deque) ? deque_append(queue, what) : PyObject_CallMethodOneArg(queue, str_append, what);
    Py_XDECREF(added);
    return added == NULL ? -1 : 0;
}

/* The head of a coroutine of ours. */
typedef struct {
    PyObject_HEAD
    PyObject *inner; /* the coroutine that was begun and has not ended, or NULL */
    PyObject *weaklist;
    char running, over;
} Steps;

extern PyTypeObject DrainType, MethodType, SendingType;

/* Calls a method, with one argument or with none, and lets the answer go. */
int call(PyObject *object, PyObject *name, PyObject *argument);
/* Sends `value`, or raises the error that is set where it is NULL, into what is awaited; as `PyIter_Send`. */
PySendResult send_or_throw(PyObject *awaited, PyObject *value, PyObject **result);
/* Whether it has ended or runs, so that nothing can be sent into it; an error is set then. */
int refused(Steps *steps, PyObject *value);

/* It has ended, that way: lets go what it has. An error that is set stays. */
void clear_ended(PyObject *self, PySendResult how);

/* The methods of a coroutine, for a type with `am_send`, which takes NULL for the error that is set. */
PyObject *steps_next(PyObject *self);
PyObject *steps_close(PyObject *self, PyObject *unused);
extern PyMethodDef steps_methods[];
extern PyMemberDef steps_members[];
/* `cr_suspended`, as a getter. */
PyObject *steps_suspended(PyObject *self, void *unused);

/* Lets an envelope go, whose message was handled: it takes the reference. */
void envelope_done(PyObject *envelope);
/* The drain of a life. */
PyObject *drain_of(PyObject *life);

/* The methods that stand in for Python's, as vector calls. */
PyObject *ask_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names);
PyObject *child_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names);
PyObject *serve_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names);
PyObject *tell_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names);
PyObject *work_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names);
/* An object that looks like `function` and calls that. */
PyObject *method_of(PyObject *function, vectorcallfunc call);

#endif
