/* The module: where the fields of the Python classes lie, and the methods that stand in for Python's. */
#include "native.h"

#define PLACE(class, field) Py_ssize_t class##_##field;
FIELDS(PLACE)
#undef PLACE
#define THING(name) PyObject *the_##name;
THINGS(THING)
#undef THING
#define NUMBER(constant, name) double name;
NUMBERS(NUMBER)
#undef NUMBER

PyCFunction deque_append, deque_popleft;

#define NAME(name) PyObject *str_##name;
NAMES(NAME)
#undef NAME

/* --- A method in C that looks like the Python function that it stands in for. --- */

typedef struct {
    PyObject_HEAD
    PyObject *weaklist;
    PyObject *attributes; /* those of the function, its code among them: `inspect` takes it for a function then */
    vectorcallfunc call;
} Method;

PyObject *method_of(PyObject *function, vectorcallfunc call)
{
    Method *method = PyObject_GC_New(Method, &MethodType);
    if (method == NULL)
        return NULL;
    method->call = call;
    method->weaklist = NULL;
    method->attributes = PyDict_New();
    PyObject_GC_Track(method);
    static const char *const copied[] = {"__name__",     "__qualname__",   "__module__",      "__doc__",
                                         "__code__",     "__defaults__",   "__kwdefaults__",  "__annotations__",
                                         "__type_params__"};
    int failed = method->attributes == NULL || PyDict_SetItemString(method->attributes, "__wrapped__", function) < 0;
    for (size_t at = 0; !failed && at < Py_ARRAY_LENGTH(copied); at++) {
        PyObject *value = PyObject_GetAttrString(function, copied[at]);
        if (value == NULL)
            PyErr_Clear(); /* not every version knows each of them */
        else {
            failed = PyDict_SetItemString(method->attributes, copied[at], value) < 0;
            Py_DECREF(value);
        }
    }
    if (failed)
        Py_CLEAR(method);
    return (PyObject *)method;
}

static PyObject *method_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

static PyObject *method_repr(PyObject *self)
{
    PyObject *name = PyDict_GetItemString(((Method *)self)->attributes, "__qualname__");
    return PyUnicode_FromFormat("<function %S, accelerated>", name != NULL ? name : Py_None);
}

static int method_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Method *)self)->attributes);
    return 0;
}

static int method_clear(PyObject *self)
{
    Py_CLEAR(((Method *)self)->attributes);
    return 0;
}

static void method_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (((Method *)self)->weaklist != NULL)
        PyObject_ClearWeakRefs(self);
    method_clear(self);
    PyObject_GC_Del(self);
}

PyTypeObject MethodType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "upright.actors._accelerator.Method",
    .tp_doc = PyDoc_STR("A method of a Python class, in C."),
    .tp_basicsize = sizeof(Method),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_dictoffset = offsetof(Method, attributes),
    .tp_weaklistoffset = offsetof(Method, weaklist),
    .tp_vectorcall_offset = offsetof(Method, call),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = method_get,
    .tp_getattro = PyObject_GenericGetAttr,
    .tp_setattro = PyObject_GenericSetAttr,
    .tp_repr = method_repr,
    .tp_traverse = method_traverse,
    .tp_clear = method_clear,
    .tp_dealloc = method_dealloc,
};

/* --- Binding. --- */

/* The place of a field, from the descriptor that the class has for it. */
static Py_ssize_t place_of(PyObject *things, const char *class, const char *field)
{
    PyObject *type = PyDict_GetItemString(things, class);
    if (type == NULL || !PyType_Check(type)) {
        PyErr_Format(PyExc_TypeError, "expected %s to be a class, got %R", class, type != NULL ? type : Py_None);
        return -1;
    }
    PyObject *found = PyObject_GetAttrString(type, field);
    if (found == NULL)
        return -1;
    Py_ssize_t place = -1;
    PyMemberDef *member = Py_IS_TYPE(found, &PyMemberDescr_Type) ? ((PyMemberDescrObject *)found)->d_member : NULL;
    if (member != NULL && member->type == T_OBJECT_EX)
        place = member->offset;
    else
        PyErr_Format(PyExc_TypeError, "expected %s.%s to be a slot, got %R", class, field, found);
    Py_DECREF(found);
    return place;
}

/* One of the things, borrowed. */
static PyObject *thing_of(PyObject *things, const char *name)
{
    PyObject *found = PyDict_GetItemString(things, name);
    if (found == NULL)
        PyErr_SetString(PyExc_KeyError, name);
    return found;
}

/* The C function of a method of a class of C, whose only flags these are. */
static PyCFunction function_of(PyObject *method, int flags)
{
    PyMethodDef *known = Py_IS_TYPE(method, &PyMethodDescr_Type) ? ((PyMethodDescrObject *)method)->d_method : NULL;
    if (known != NULL && known->ml_flags == flags)
        return known->ml_meth;
    PyErr_Format(PyExc_ImportError, "the accelerator does not know this kind of method: %R", method);
    return NULL;
}

static PyObject *bind(PyObject *Py_UNUSED(module), PyObject *things)
{
    if (!PyDict_Check(things)) {
        PyErr_SetString(PyExc_TypeError, "expected a dict of what the accelerator needs");
        return NULL;
    }
    PyObject *found, *ref = PyDict_GetItemString(things, "Ref");
    if (the_Ref != NULL && the_Ref != ref) {
        PyErr_SetString(PyExc_ImportError, "the accelerator serves the classes of another interpreter");
        return NULL;
    }
#define PLACE(class, field)                                                                                          \
    if ((class##_##field = place_of(things, #class, #field)) < 0)                                                    \
        return NULL;
    FIELDS(PLACE)
#undef PLACE
#define THING(name)                                                                                                  \
    if ((found = thing_of(things, #name)) == NULL)                                                                   \
        return NULL;                                                                                                 \
    Py_XSETREF(the_##name, Py_NewRef(found));
    THINGS(THING)
#undef THING
#define NUMBER(constant, name)                                                                                       \
    if ((found = thing_of(things, #constant)) == NULL ||                                                             \
        ((name = PyFloat_AsDouble(found)) == -1 && PyErr_Occurred()))                                                \
        return NULL;
    NUMBERS(NUMBER)
#undef NUMBER
    if ((deque_append = function_of(the_deque_append, METH_O)) == NULL ||
        (deque_popleft = function_of(the_deque_popleft, METH_NOARGS)) == NULL)
        return NULL;
    return Py_BuildValue("{sNsNsNsNsN}", "ask", method_of(the_ask, ask_begin), "child",
                         method_of(the_child, child_begin), "serve", method_of(the_serve, serve_begin),
                         "tell", method_of(the_tell, tell_begin), "work", method_of(the_work, work_begin));
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_O, PyDoc_STR("Take what the Python rooms have; return what stands in for their methods.")},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "upright.actors._accelerator",
    .m_doc = PyDoc_STR("The path of a message, in C; see `upright.actors.accelerator`."),
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__accelerator(void)
{
#define NAME(name)                                                                                                   \
    if (str_##name == NULL && (str_##name = PyUnicode_InternFromString(#name)) == NULL)                              \
        return NULL;
    NAMES(NAME)
#undef NAME
    PyTypeObject *types[] = {&DrainType, &MethodType, &SendingType};
    for (size_t at = 0; at < Py_ARRAY_LENGTH(types); at++)
        if (PyType_Ready(types[at]) < 0)
            return NULL;
    return PyModule_Create(&definition);
}
