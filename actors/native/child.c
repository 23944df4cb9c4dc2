/* `Birth.child`: a new child like those of its class before it, with its incarnation, field by field the same. */
#include "native.h"

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

/* The pattern for a class, borrowed, or None. It holds for the class as it is: CPython gives a class another number
 * when something is set in it or above it, and 0 to one that has run out of numbers.
 */
static PyObject *pattern_for(PyObject *parent, PyObject *patterns, PyObject *name, PyObject *blueprint)
{
    PyTypeObject *actor = (PyTypeObject *)GET(blueprint, Blueprint, actor);
    PyObject *known = PyDict_GetItemWithError(patterns, (PyObject *)actor);
    if (known == NULL && PyErr_Occurred())
        return NULL;
    if (known == NULL || PyLong_AsUnsignedLong(PyTuple_GET_ITEM(known, 0)) != actor->tp_version_tag) {
        PyObject *three[] = {parent, name, blueprint};
        PyObject *one = PyObject_VectorcallMethod(str_pattern, three, 3, NULL);
        if (one == NULL)
            return NULL;
        known = Py_BuildValue("kN", (unsigned long)actor->tp_version_tag, one);
        int kept = known == NULL ? -1 : PyDict_SetItem(patterns, (PyObject *)actor, known);
        Py_XDECREF(known); /* the dict has it */
        if (kept < 0)
            return NULL;
    }
    PyObject *one = PyTuple_GET_ITEM(known, 1);
    int usable = actor->tp_version_tag != 0 && IS(one, Cell) && is_plain(Py_TYPE(one)) &&
                 IS(GET(one, Identity, life), Life) && is_plain((PyTypeObject *)the_Life) &&
                 IS(GET(one, Identity, mailbox), Mailbox) && is_plain((PyTypeObject *)the_Mailbox);
    return usable ? one : Py_None;
}

static PyObject *like(PyObject *one, PyObject *name, PyObject *path, PyObject *blueprint)
{
    PyObject *cell = copy_of(one), *mailbox = copy_of(GET(one, Identity, mailbox)),
             *life = copy_of(GET(one, Identity, life));
    if (cell == NULL || mailbox == NULL || life == NULL)
        Py_CLEAR(cell);
    else {
        SET(cell, Cell, name, name);
        SET(cell, Identity, path, path);
        SET(cell, Identity, blueprint, blueprint);
        SET(cell, Identity, mailbox, mailbox);
        SET(cell, Identity, life, life);
        SET(mailbox, Mailbox, owner, cell);
        SET(life, Life, cell, cell);
    }
    Py_XDECREF(mailbox);
    Py_XDECREF(life);
    return cell;
}

/* The child in its place, a new reference; NULL, without an error, if that is for the Python to do. */
static PyObject *child_at_once(PyObject *parent, PyObject *name, PyObject *blueprint)
{
    PyObject *nursery = GET(parent, Cell, nursery), *runtime = GET(parent, Identity, runtime);
    if (!IS(blueprint, Blueprint) || !PyUnicode_CheckExact(name) || !IS(nursery, Nursery) ||
        !PyType_Check(GET(blueprint, Blueprint, actor)) || GET(blueprint, Blueprint, mailbox) != Py_None ||
        GET(blueprint, Blueprint, serves) != Py_None)
        return NULL;
    PyObject *actors = GET(runtime, Runtime, actors), *children = GET(parent, Cell, children);
    if (!PyDict_CheckExact(actors) || !PyDict_CheckExact(children) || children == the_CHILDLESS)
        return NULL;
    PyObject *one = pattern_for(parent, GET(nursery, Nursery, patterns), name, blueprint);
    if (one == NULL || one == Py_None)
        return NULL;
    PyObject *path = PyUnicode_Concat(GET(nursery, Nursery, prefix), name), *cell = NULL;
    if (path != NULL && PyDict_Contains(actors, path) == 0 && (cell = like(one, name, path, blueprint)) != NULL &&
        (PyDict_SetItem(actors, path, cell) < 0 || PyDict_SetItem(children, name, cell) < 0 ||
         (GET(GET(runtime, Runtime, bus), EventBus, heard) != Py_False && call(cell, str_announce, NULL) < 0)))
        Py_CLEAR(cell);
    Py_XDECREF(path);
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
