%% gen_servers that are started, supervised, crashed and stopped. The callback module of servers and supervisors both.
-module(lives).
-behaviour(gen_server).
-export([start/1, start_supervised/1, restart/2, stop/1]).
-export([idle/0, crasher/1, init/1, handle_call/3, handle_cast/2]).

init({supervisor, Strategy, Children}) ->
    {ok, {#{strategy => Strategy, intensity => 1000000, period => 1}, Children}};
init({crasher, Owner}) ->
    Owner ! up,
    {ok, 0};
init(idle) -> {ok, 0}.

handle_call({add, Amount}, _From, Total) -> {reply, Total + Amount, Total + Amount}.

handle_cast(crash, _Total) -> error(as_told).

idle() -> gen_server:start_link(?MODULE, idle, []).

crasher(Owner) -> gen_server:start_link({local, crasher}, ?MODULE, {crasher, Owner}, []).

start(Count) ->
    started(Count, fun() -> idle() end).

start_supervised(Count) ->
    Child = #{id => idle, start => {?MODULE, idle, []}},
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, simple_one_for_one, [Child]}),
    started(Count, fun() -> supervisor:start_child(Supervisor, []) end).

%% erlang:memory() leaves out what the allocators hold in reserve; the other contenders' resident memory does not.
started(Count, Start) ->
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    Begin = erlang:monotonic_time(nanosecond),
    Pids = many(Count, Start, []),
    Took = erlang:monotonic_time(nanosecond) - Begin,
    erlang:garbage_collect(),
    Bytes = erlang:memory(total) - Before,
    Count = length([1 || Pid <- Pids, gen_server:call(Pid, {add, 1}) =:= 1]),
    [{per_s, Count * 1.0e9 / Took}, {bytes_each, Bytes / Count}].

many(0, _Start, Pids) -> Pids;
many(Left, Start, Pids) ->
    {ok, Pid} = Start(),
    many(Left - 1, Start, [Pid | Pids]).

%% Few restarts: OTP's supervisor walks through all of the last second at each of them.
restart(Siblings, Times) ->
    ok = logger:set_primary_config(level, none),
    Idle = [#{id => Number, start => {?MODULE, idle, []}} || Number <- lists:seq(1, Siblings)],
    Crasher = #{id => crasher, start => {?MODULE, crasher, [self()]}},
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, one_for_one, Idle ++ [Crasher]}),
    receive up -> ok end,
    Took = [timed(fun crash/0) || _ <- lists:seq(1, Times)],
    0 = gen_server:call(crasher, {add, 0}),
    Siblings = proplists:get_value(active, supervisor:count_children(Supervisor)) - 1,
    latencies(Took).

crash() ->
    gen_server:cast(crasher, crash),
    receive up -> ok end.

stop(Count) ->
    Pids = many(Count, fun() -> gen_server:start(?MODULE, idle, []) end, []),
    Took = [timed(fun() -> gen_server:stop(Pid) end) || Pid <- Pids],
    [] = [Pid || Pid <- Pids, is_process_alive(Pid)],
    latencies(Took).

timed(Work) ->
    Begin = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Begin.

latencies(Took) ->
    Sorted = lists:sort(Took),
    Count = length(Sorted),
    [{p50_us, lists:nth(Count div 2, Sorted) / 1000}, {p99_us, lists:nth(Count * 99 div 100, Sorted) / 1000}].
