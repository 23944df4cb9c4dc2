%% A gen_server that counts, and processes that cast to it or call it.
-module(messages).
-behaviour(gen_server).
-export([tell/1, fan_in/2, ask/1, ask_at_once/2]).
-export([init/1, handle_call/3, handle_cast/2]).

init([]) -> {ok, 0}.

handle_call({add, Amount}, _From, Total) -> {reply, Total + Amount, Total + Amount}.

handle_cast({add, Amount}, Total) -> {noreply, Total + Amount}.

tell(Count) ->
    Counter = counter(),
    Begin = erlang:monotonic_time(nanosecond),
    cast(Counter, Count),
    Count = gen_server:call(Counter, {add, 0}, infinity),
    rate(Count, Begin).

fan_in(Count, Senders) ->
    Counter = counter(),
    Begin = erlang:monotonic_time(nanosecond),
    at_once(Senders, fun() -> cast(Counter, Count div Senders) end),
    Count = gen_server:call(Counter, {add, 0}, infinity),
    rate(Count, Begin).

ask(Count) ->
    Counter = counter(),
    Begin = erlang:monotonic_time(nanosecond),
    Took = lists:sort(timed_calls(Counter, Count, [])),
    [Rate] = rate(Count, Begin),
    Count = gen_server:call(Counter, {add, 0}, infinity),
    [Rate, {p50_us, lists:nth(Count div 2, Took) / 1000}, {p99_us, lists:nth(Count * 99 div 100, Took) / 1000}].

ask_at_once(Count, Askers) ->
    Counter = counter(),
    Begin = erlang:monotonic_time(nanosecond),
    at_once(Askers, fun() -> call(Counter, Count div Askers) end),
    Rate = rate(Count, Begin),
    Count = gen_server:call(Counter, {add, 0}, infinity),
    Rate.

counter() ->
    {ok, Counter} = gen_server:start_link(?MODULE, [], []),
    Counter.

cast(_Counter, 0) -> ok;
cast(Counter, Left) ->
    gen_server:cast(Counter, {add, 1}),
    cast(Counter, Left - 1).

call(_Counter, 0) -> ok;
call(Counter, Left) ->
    gen_server:call(Counter, {add, 1}),
    call(Counter, Left - 1).

timed_calls(_Counter, 0, Took) -> Took;
timed_calls(Counter, Left, Took) ->
    Begin = erlang:monotonic_time(nanosecond),
    gen_server:call(Counter, {add, 1}),
    timed_calls(Counter, Left - 1, [erlang:monotonic_time(nanosecond) - Begin | Took]).

at_once(Processes, Work) ->
    Monitors = [element(2, spawn_monitor(Work)) || _ <- lists:seq(1, Processes)],
    [receive {'DOWN', Monitor, process, _, normal} -> ok end || Monitor <- Monitors].

rate(Count, Begin) -> [{per_s, Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Begin)}].
