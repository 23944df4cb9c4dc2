/* `Ref.tell` of an actor with a durable mailbox, from outside of all actors and plainly: what most producers do. */
#include "sending.h"

/* What the store will say, to be awaited; Py_None where that is for the Python method to find out. */
static PyObject *stored(PyObject *keeper, PyObject *handler, Sending *sending)
{
    PyObject *kwargs = sending->kwargs != NULL ? sending->kwargs : Py_None;
    PyObject *envelope = envelope_of(handler, sending->args, kwargs, Py_None);
    if (envelope == NULL)
        return NULL;
    PyObject *receipts = PyObject_CallMethodOneArg(keeper, str_store_plainly, envelope);
    envelope_done(envelope);
    return receipts;
}

/* Who keeps the messages of whoever lives there, new, or NULL and perhaps an error. */
static PyObject *keeper_of(PyObject *recipient)
{
    PyObject *gone = PyObject_GetAttr(recipient, str_gone), *mailbox = NULL, *admits = NULL, *keeper = NULL;
    long room = 1;
    if (gone == Py_False && (mailbox = PyObject_GetAttr(recipient, str_mailbox)) != NULL &&
        (admits = PyObject_GetAttr(mailbox, str_admits)) != NULL && is_short(admits, &room) && room == 0)
        keeper = PyObject_GetAttr(mailbox, str_keeper);
    if (keeper == Py_None)
        Py_CLEAR(keeper);
    Py_XDECREF(gone);
    Py_XDECREF(mailbox);
    Py_XDECREF(admits);
    return keeper;
}

static PyObject *handler_of(PyObject *recipient, PyObject *function)
{
    PyObject *table = PyObject_GetAttr(recipient, str_handlers), *found = NULL;
    PyObject *known = table != NULL ? PyObject_GetAttr(table, str_known) : NULL;
    if (known != NULL && PyDict_CheckExact(known) && (found = PyDict_GetItemWithError(known, function)) == NULL)
        PyErr_Clear(); /* not hashable: the Python method says so better */
    Py_XINCREF(found);
    Py_XDECREF(known);
    Py_XDECREF(table);
    return found;
}

int store_at_once(Sending *sending)
{
    PyObject *recipient = GET(sending->ref, Ref, _found), *keeper, *handler = NULL, *seat = NULL, *receipts = NULL;
    if (recipient == NULL || recipient == Py_None || GET(sending->ref, Ref, _how) != Py_None)
        return 0;
    Py_INCREF(recipient);
    if ((keeper = keeper_of(recipient)) != NULL && (handler = handler_of(recipient, sending->handler)) != NULL &&
        PyContextVar_Get(the_TURN, NULL, &seat) == 0 && seat == Py_None)
        receipts = stored(keeper, handler, sending);
    Py_DECREF(recipient);
    Py_XDECREF(keeper);
    Py_XDECREF(handler);
    Py_XDECREF(seat);
    if (receipts == NULL || receipts == Py_None) {
        Py_XDECREF(receipts);
        return PyErr_Occurred() ? -1 : 0;
    }
    sending->steps.inner = IS(receipts, Future) ? Py_TYPE(receipts)->tp_as_async->am_await(receipts)
                                                : PyObject_CallOneArg(the_awaited, receipts);
    Py_DECREF(receipts);
    sending->stores = 1;
    return sending->steps.inner != NULL ? 1 : -1;
}
