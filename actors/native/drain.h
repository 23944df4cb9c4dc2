/* The coroutine of `Life.serve`: one activation of an actor. */
#ifndef UPRIGHT_DRAIN_H
#define UPRIGHT_DRAIN_H

#include "native.h"

enum { FRESH, ATTENDS, HANDLES, FAILS, BY_PYTHON }; /* what `inner` is */

typedef struct {
    Steps steps;
    PyObject *life, *mailbox, *queue, *seat, *variables, *envelope, *now;
    Py_ssize_t shared, seated; /* references to the variables and to the seat, while no copy of the context is left */
    double began;              /* when the handler was called; only while somebody is told of every message */
    long done, look;
    char stage, at_once, observed;
    char plain; /* the mailbox has its fields in slots, and no properties instead */
} Drain;

/* Goes on, as `am_send` does. */
PySendResult serve(Drain *drain, PyObject *value, PyObject **result);

/* The message in hand. Whether nobody waits for its reply any more. */
int is_expired(Drain *drain, PyObject *envelope, PyObject *reply);
/* The coroutine of its handler, not begun yet, or NULL and an error. */
PyObject *called(Drain *drain, PyObject *envelope, PyObject *function);
/* The handler has returned that: answer. */
int settle(Drain *drain, PyObject *result);
/* The handler raised, or could not be called: 1, `inner` is a coroutine of Python's, which says what follows. */
int failed(Drain *drain);
/* The time of the loop; -1 and an error, as with numbers. */
double clock_now(Drain *drain);

#endif
