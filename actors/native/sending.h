/* The coroutine of a tell or an ask. */
#ifndef UPRIGHT_SENDING_H
#define UPRIGHT_SENDING_H

#include "native.h"

typedef struct {
    Steps steps; /* `inner`: the Python method's coroutine, or the iterator of the reply that an ask waits for */
    PyObject *ref, *handler, *args, *kwargs;
    PyObject *question, *bucket, *link; /* of an ask that waits for its reply; `link`: the turn that asks, or NULL */
    char asks;
} Sending;

/* Each: 1, it is in the mailbox; 0, it has to go the way of the Python method; -1, an error. */
int tell_at_once(Sending *sending);
int ask_at_once(Sending *sending);
/* An ask that waited has ended, with a reply or, where `failed`, with the error that is set; that error is kept. */
int ask_ended(Sending *sending, int failed);

#endif
