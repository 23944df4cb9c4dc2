%% A ring of gen_servers around which one message goes.
-module(hops).
-behaviour(gen_server).
-export([ring/2]).
-export([init/1, handle_call/3, handle_cast/2]).

init({Number, Owner}) -> {ok, {Number, Owner, none}}.

handle_call({follow, Follower}, _From, {Number, Owner, none}) -> {reply, ok, {Number, Owner, Follower}}.

handle_cast({hop, 0}, {Number, Owner, _Follower} = State) ->
    Owner ! {arrived, Number},
    {noreply, State};
handle_cast({hop, Left}, {_Number, _Owner, Follower} = State) ->
    gen_server:cast(Follower, {hop, Left - 1}),
    {noreply, State}.

ring(Nodes, Hops) ->
    [First | Rest] = Ring = [hopper(Number) || Number <- lists:seq(0, Nodes - 1)],
    [ok = gen_server:call(Pid, {follow, Next}) || {Pid, Next} <- lists:zip(Ring, Rest ++ [First])],
    Place = Hops rem Nodes,
    Begin = erlang:monotonic_time(nanosecond),
    gen_server:cast(First, {hop, Hops}),
    receive {arrived, Place} -> ok end,
    [{per_s, Hops * 1.0e9 / (erlang:monotonic_time(nanosecond) - Begin)}].

hopper(Number) ->
    {ok, Pid} = gen_server:start_link(?MODULE, {Number, self()}, []),
    Pid.
