/* Push first, a text when nobody says that it arrived: one notice, W workers, a receipt of the push that
 * comes at any moment or never, a text that may be refused for a while or be lost, a reconciler.
 *
 * What must never happen: a text is begun although a stored receipt says that the push arrived, or while it
 * is unknown whether the push left; and two texts. The switches plant what the rules exist for:
 *
 *   PLANT_FORGET_RECEIPT   a receipt counts only while its own attempt is the newest one
 *   PLANT_FOLLOW_UNKNOWN   the deadline of the fallback passes over a push of which nothing is known
 */
#ifndef W
#define W 2
#endif
#define TRIES 3

mtype = { waiting, sending, awaiting, closed };          /* the notice */
mtype = { nothing, begun, unknown, accepted, void };     /* an attempt */

mtype notice = waiting;
mtype push = nothing;
mtype text = nothing;         /* of the newest text */
byte fence = 0;               /* attempts made, by either way */
byte tries = 0;               /* of them texts */
byte texts = 0;               /* the provider's own truth: texts it has accepted */
bool left = false;            /* the push has left, and may arrive */
bool told = false;            /* a receipt is stored: it has arrived */
bool overdue = false;         /* the deadline of the fallback is past */

#define over (notice == closed || (tries == TRIES && notice == waiting))

#ifdef PLANT_FORGET_RECEIPT
#define arrived false
#else
#define arrived told
#endif

#ifdef PLANT_FOLLOW_UNKNOWN
#define fallback_due (overdue && (notice == awaiting || (notice == sending && push == unknown && text == nothing)))
#else
#define fallback_due (overdue && notice == awaiting)
#endif
#define text_due ((notice == waiting && fence > 0) || fallback_due)

proctype Worker()
{
    byte me;
    do
    :: over -> break
    :: atomic { (notice == waiting && fence == 0) ->
            fence++; me = fence; notice = sending; push = begun }
        if
        :: atomic { (fence == me && push == begun) -> push = void; notice = waiting }           /* refused */
        :: atomic { left = true; (fence == me && push == begun) -> push = accepted; notice = awaiting }
        :: atomic { left = true; (fence == me && push == begun) -> push = unknown }              /* answer lost */
        :: atomic { (push == begun) -> push = unknown }                                          /* killed */
        :: notice == closed -> skip                                                              /* told first */
        fi
    :: atomic { (tries < TRIES && text_due) ->
            if
            :: arrived -> notice = closed
            :: else ->
                assert(!told);
                assert(push != begun && push != unknown);
                fence++; me = fence; tries++; notice = sending; text = begun
            fi }
        if
        :: notice == closed -> skip
        :: atomic { (fence == me && text == begun) -> text = void; notice = waiting }            /* 429 */
        :: atomic { (fence == me && text == begun) -> texts++; text = accepted; notice = closed }
        :: atomic { (fence == me && text == begun) -> texts++; text = unknown }                  /* answer lost */
        :: atomic { (fence == me && text == begun) -> text = unknown }                           /* nothing left */
        fi
    od
}

proctype Receipt()            /* "delivered", once, at any moment after the push has left, or never */
{
    if
    :: atomic { left ->
            told = true;
            if
            :: (fence == 1 && notice != closed) -> push = accepted; notice = closed
            :: else                                  /* something follows already: it is only stored */
            fi }
    :: over
    fi
}

proctype Clock()
{
    if
    :: (fence > 0) -> overdue = true
    :: over
    fi
}

proctype Reconciler()         /* of texts; push has no list, it stays unknown and is closed as sent */
{
    do
    :: over -> break
    :: atomic { (notice == sending && text == unknown) ->
            if
            :: (texts > 0) -> text = accepted; notice = closed
            :: else -> text = void; notice = waiting
            fi }
    :: atomic { (notice == sending && push == unknown && text == nothing) -> notice = closed }
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
        run Receipt(); run Clock(); run Reconciler()
    }
}

never { do :: texts > 1 -> break :: else od }
