/* The send protocol, small enough to look at every interleaving: one notice, W workers that claim it, a
 * provider that accepts or loses answers, callbacks that come or do not, a reconciler that reads its list.
 *
 * What must never happen: the provider accepts two messages for the notice. Three switches plant the bugs
 * that the protocol's load-bearing rules exist for; each must make `spin` find a way to a second message.
 *
 *   PLANT_LOOK_THEN_WRITE   the deadline is looked at, and the bytes are written later
 *   PLANT_EARLY_ABSENCE     absence is believed before the deadline of the attempt is past
 *   PLANT_RETRY_UNKNOWN     an attempt whose answer was lost is followed by another one
 */
#ifndef W
#define W 2
#endif
#define TRIES 3

mtype = { nothing, begun, unknown, accepted, void };

mtype state = nothing;        /* of the newest attempt, as our rows have it */
byte newest = 0;              /* its number; also the fence of every write */
bool late[TRIES + 1];         /* the deadline of an attempt is past */
bool taken[TRIES + 1];        /* the provider's own truth: it has the message of this attempt */
byte messages = 0;            /* messages it has accepted in all */
byte receipt = 0;             /* attempt that a callback under way is about; 0 = none */
bool sent = false;            /* the notice is settled as sent */

#define over (sent || (newest == TRIES && state == void))
#define mine (newest == me && state == begun)

#ifdef PLANT_RETRY_UNKNOWN
#define may_begin (state == nothing || state == void || state == unknown)
#else
#define may_begin (state == nothing || state == void)
#endif

#ifdef PLANT_EARLY_ABSENCE
#define may_look (state == begun || state == unknown)
#else
#define may_look ((state == begun || state == unknown) && late[newest])
#endif

proctype Worker()
{
    byte me;
    bool early;
    do
    :: over -> break
    :: atomic { (!over && newest < TRIES && may_begin) ->
            newest++; me = newest; state = begun }      /* one transaction: written down, then sent */
        if
        :: goto died                                    /* killed before a byte left */
        :: skip
        fi;
        /* here the process may stand still for as long as it likes */
#ifdef PLANT_LOOK_THEN_WRITE
        early = !late[me];
        if
        :: !early -> goto died
        :: else
        fi;
        atomic { taken[me] = true; messages++; receipt = me }
#else
        if
        :: atomic { late[me] -> goto died }             /* the look and the write are one step */
        :: atomic { !late[me] -> taken[me] = true; messages++; receipt = me }
        :: atomic { mine -> state = void; goto died }   /* 429: refused, nothing was taken */
        :: atomic { mine -> state = unknown; goto died }/* a failure that only looks like a lost answer */
        fi;
#endif
        if
        :: atomic { mine -> state = accepted; sent = true }     /* 201 and its record */
        :: atomic { mine -> state = unknown }                   /* taken, and the answer was lost */
        :: !mine -> skip                                        /* compare-and-set: somebody was faster */
        :: skip                                                 /* killed before the record */
        fi;
died:   skip
    od
}

proctype Clock()                /* deadlines pass, each at any moment after its attempt began */
{
    byte at = 1;
    do
    :: over || at > TRIES -> break
    :: (at <= newest) -> late[at] = true; at++
    od
}

proctype Callback()
{
    do
    :: over -> break
    :: atomic { (receipt != 0 && receipt == newest && (state == begun || state == unknown)) ->
            state = accepted; sent = true; receipt = 0 }
    :: atomic { receipt != 0 -> receipt = 0 }           /* lost on its way */
    od
}

proctype Reconciler()           /* complete lists of the provider, with nothing hidden in them */
{
    do
    :: over -> break
    :: atomic { may_look ->
            if
            :: taken[newest] -> state = accepted; sent = true
            :: !taken[newest] -> state = void
            fi }
    od
}

init
{
    byte n = 0;
    atomic {
        do
        :: n < W -> run Worker(); n++
        :: n == W -> break
        od;
        run Clock(); run Callback(); run Reconciler()
    }
}

never { do :: messages > 1 -> break :: else od }
