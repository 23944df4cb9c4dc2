/* The coroutine of a tell or an ask. */
#ifndef UPRIGHT_SENDING_H
#define UPRIGHT_SENDING_H

#include "native.h"

typedef struct {
    Steps steps; /* `inner`: the Python method's coroutine, or the iterator of the reply or the receipts to come */
    PyObject *ref, *handler, *args, *kwargs;
    PyObject *question, *bucket, *link; /* of an ask that waits for its reply; `link`: the turn that asks, or NULL */
    char asks, stores; /* whether it is an ask; whether it waits for receipts, of which there will be one */
} Sending;

/* Each: 1, it is in the mailbox; 0, it has to go the way of the Python method; -1, an error. */
int tell_at_once(Sending *sending);
int ask_at_once(Sending *sending);
/* The same for a tell to a durable actor, whose receipt is then to be awaited. */
int store_at_once(Sending *sending);
/* An envelope of the free list, or a new one. */
PyObject *envelope_of(PyObject *handler, PyObject *args, PyObject *kwargs, PyObject *sender);
/* An ask that waited has ended, with a reply or, where `failed`, with the error that is set; that error is kept. */
int ask_ended(Sending *sending, int failed);

#endif
