/* `Birth.child`: a new child like those of its class before it, with its incarnation, field by field the same. */
#include "native.h"

/* Of one parent, at most: a class that changes at each spawn, which counts its instances say, has another each time. */
#define PATTERNS 64

/* Whether instances are nothing but slots, so that a copy of each is a copy of the whole. */
static int is_plain(PyTypeObject *type)
{
    return type->tp_flags & Py_TPFLAGS_HEAPTYPE && type->tp_itemsize == 0 && type->tp_dictoffset == 0 &&
           type->tp_weaklistoffset == 0 && PyType_IS_GC(type);
}

static PyObject *copy_of(PyObject *one)
{
    PyTypeObject *type = Py_TYPE(one);
    PyObject *copy = type->tp_alloc(type, 0);
    if (copy != NULL)
        for (Py_ssize_t at = sizeof(PyObject); at < type->tp_basicsize; at += sizeof(PyObject *)) {
            PyObject *value = *(PyObject **)((char *)one + at);
            *(PyObject **)((char *)copy + at) = Py_XNewRef(value);
        }
    return copy;
}

/* The pattern for a class, a new reference, or None. It holds for the class as it is: CPython gives a class another
 * number, that none ever had, when something is set in it or above it, and 0 to one that has run out of numbers. So the
 * patterns refer to no class.
 */
static PyObject *pattern_for(PyObject *parent, PyObject *patterns, PyObject *name, PyObject *blueprint)
{
    PyTypeObject *actor = (PyTypeObject *)GET(blueprint, Blueprint, actor);
    PyObject *number = PyLong_FromUnsignedLong(actor->tp_version_tag), *known = NULL;
    if (number == NULL)
        return NULL;
    if ((known = PyDict_GetItemWithError(patterns, number)) != NULL)
        Py_INCREF(known);
    Py_DECREF(number);
    if (known != NULL || PyErr_Occurred())
        return known;
    if (PyDict_GET_SIZE(patterns) >= PATTERNS)
        return Py_NewRef(Py_None);
    PyObject *three[] = {parent, name, blueprint};
    PyObject *one = PyObject_VectorcallMethod(str_pattern, three, 3, NULL);
    if (one == NULL)
        return NULL;
    int usable = IS(one, Cell) && is_plain(Py_TYPE(one)) && IS(GET(one, Identity, life), Life) &&
                 is_plain((PyTypeObject *)the_Life) && IS(GET(one, Identity, mailbox), Mailbox) &&
                 is_plain((PyTypeObject *)the_Mailbox);
    if (!usable)
        Py_SETREF(one, Py_NewRef(Py_None));
    number = PyLong_FromUnsignedLong(actor->tp_version_tag); /* it may have got it just now */
    if (number == NULL || (actor->tp_version_tag != 0 && PyDict_SetItem(patterns, number, one) < 0))
        Py_CLEAR(one);
    Py_XDECREF(number);
    return one;
}

/* Without its incarnation, which comes when it is in its place. */
static PyObject *like(PyObject *one, PyObject *name, PyObject *path, PyObject *blueprint)
{
    PyObject *handlers = PyObject_GetAttr(GET(blueprint, Blueprint, actor), str___handlers__);
    PyObject *cell = copy_of(one), *mailbox = copy_of(GET(one, Identity, mailbox));
    if (handlers == NULL || cell == NULL || mailbox == NULL)
        Py_CLEAR(cell);
    else {
        SET(cell, Birth, name, name);
        SET(cell, Identity, path, path);
        SET(cell, Identity, blueprint, blueprint);
        SET(cell, Identity, handlers, handlers);
        SET(cell, Identity, mailbox, mailbox);
        SET(cell, Identity, life, Py_None);
        SET(mailbox, Mailbox, owner, cell);
    }
    Py_XDECREF(handlers);
    Py_XDECREF(mailbox);
    return cell;
}

/* The incarnation that is to begin. */
static int incarnated(PyObject *cell, PyObject *one)
{
    PyObject *life = copy_of(GET(one, Identity, life));
    if (life == NULL)
        return -1;
    SET(life, Life, cell, cell);
    SET(cell, Identity, life, life);
    Py_DECREF(life);
    return 0;
}

/* The child in its place, a new reference; NULL, without an error, if that is for the Python to do. */
static PyObject *child_at_once(PyObject *parent, PyObject *name, PyObject *blueprint)
{
    PyObject *nursery = GET(parent, Birth, nursery), *runtime = GET(parent, Identity, runtime);
    if (!IS(blueprint, Blueprint) || !PyUnicode_CheckExact(name) || !IS(nursery, Nursery) ||
        !PyType_Check(GET(blueprint, Blueprint, actor)) || GET(blueprint, Blueprint, mailbox) != Py_None ||
        GET(blueprint, Blueprint, serves) != Py_None)
        return NULL;
    PyObject *actors = GET(runtime, Runtime, actors), *children = GET(parent, Birth, children);
    if (!PyDict_CheckExact(actors) || !PyDict_CheckExact(children) || children == the_CHILDLESS)
        return NULL;
    PyObject *one = pattern_for(parent, GET(nursery, Nursery, patterns), name, blueprint), *cell = NULL;
    PyObject *path = one == NULL ? NULL : PyUnicode_Concat(GET(nursery, Nursery, prefix), name);
    if (path != NULL && one != Py_None && PyDict_Contains(actors, path) == 0 &&
        (cell = like(one, name, path, blueprint)) != NULL &&
        (PyDict_SetItem(actors, path, cell) < 0 || PyDict_SetItem(children, name, cell) < 0 ||
         (GET(GET(runtime, Runtime, bus), EventBus, heard) != Py_False && call(cell, str_announce, NULL) < 0) ||
         incarnated(cell, one) < 0))
        Py_CLEAR(cell);
    Py_XDECREF(path);
    Py_XDECREF(one);
    return cell;
}

PyObject *child_begin(PyObject *method, PyObject *const *args, size_t flagged, PyObject *names)
{
    if (PyVectorcall_NARGS(flagged) == 3 && names == NULL && IS(args[0], Cell)) {
        PyObject *child = child_at_once(args[0], args[1], args[2]);
        if (child != NULL || PyErr_Occurred())
            return child;
    }
    return PyObject_Vectorcall(the_child, args, flagged, names);
}
