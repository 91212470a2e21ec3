/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The notification hand-shake of a virtqueue, for spin: no kick and no call
 * is lost. check-handshake says with which definitions it is run:
 *
 *	EVENT_IDX	by positions, else by flags
 *	PACKED		a packed ring, else a split one
 *	NUM, RANGE	size of the queue, and of its free-running positions
 *
 * Driver and device are two instances of one process, for the hand-shake is
 * the same in both directions. Each gives chains to the other (the driver
 * new ones, the device used ones), shows them in bursts of any length, and
 * then notifies the other or not; each takes what the other shows, and when
 * there is nothing it asks for a notification, looks once more and sleeps.
 *
 * Memory is weaker than that of x86, and as weak as that of Arm in what
 * counts here: a store goes into a buffer that belongs to its place, from
 * where it reaches memory at any later time. So it may be passed by later
 * loads and by later stores to other places; only stores to one place stay
 * in order. A full fence waits until all buffers of its side are empty.
 *
 * A lost notification ends in a state in which nobody can go on: both sides
 * sleep, and the driver hasn't got all of its chains back. Spin calls that an
 * invalid end state.
 */

#ifndef NUM
#define NUM 2
#endif
/*
 * A packed ring's positions are a place and a wrap counter, hence modulo
 * 2 * NUM; so are those of the largest split ring, of 32768.
 */
#ifndef RANGE
#define RANGE (2 * NUM)
#endif

#define DRIVER 0
#define DEVICE 1

/* Mistakes to be made on purpose, by one side: nobody makes them by default. */
#define NOBODY 2
#ifndef NO_FENCE_PUBLISH
#define NO_FENCE_PUBLISH NOBODY
#endif
#ifndef NO_FENCE_ASK
#define NO_FENCE_ASK NOBODY
#endif
#ifndef NO_SECOND_LOOK
#define NO_SECOND_LOOK NOBODY
#endif

/*
 * Places in memory. Each is written by one side, except the flags of a
 * packed ring's descriptors: both write those, each through its own buffer.
 */
#define INDEX(side)	  (side)	/* of the available or used ring */
#define EVENT(side)	  (2 + (side))	/* a position that the side asks for */
#define FLAGS(side)	  (4 + (side))	/* whether it asks at all */
#define DESCRIPTOR(place) (6 + (place))
#define PLACES		  (6 + NUM)
#define BUFFERS		  (6 + 2 * NUM)

byte memory[PLACES];
chan buffer[BUFFERS] = [2] of { byte };
byte pending[2]; /* stores of a side that haven't reached memory */

bool notified[2]; /* the eventfd that a side sleeps on */
bool quiet;	  /* the driver adds nothing before all chains are back */
byte length[NUM]; /* descriptors of the chain that begins there; split: 1 */

/* What is in EVENT and FLAGS. */
#define ENABLE		   0
#define DISABLE		   1
#define ONE_DESCRIPTOR	   2 /* packed, with EVENT_IDX */

/* Modulo RANGE, and without going below 0. */
#define ADD(a, b)	   (((a) + (b)) % RANGE)
#define DISTANCE(from, to) (((to) + RANGE - (from)) % RANGE)

/* A position in a packed ring, and the AVAIL and USED bits of one there. */
#define PLACE(position)	   ((position) % NUM)
#define WRAP(position)	   (1 - ((position) / NUM) % 2)
#define AVAILABLE(wrap)	   ((wrap) + 2 * (1 - (wrap)))
#define USED(wrap)	   (3 * (wrap))

/* Whatever a buffer holds reaches memory at some time. */
#define COMMIT(from, to, side)                                       \
	atomic {                                                     \
		buffer[from]?memory[to];                             \
		pending[side]--                                      \
	}

active proctype buffers()
{
	do
	:: COMMIT(0, 0, DRIVER)
	:: COMMIT(1, 1, DEVICE)
	:: COMMIT(2, 2, DRIVER)
	:: COMMIT(3, 3, DEVICE)
	:: COMMIT(4, 4, DRIVER)
	:: COMMIT(5, 5, DEVICE)
#ifdef PACKED
	:: COMMIT(DESCRIPTOR(0), DESCRIPTOR(0), DRIVER)
	:: COMMIT(DESCRIPTOR(NUM), DESCRIPTOR(0), DEVICE)
#if NUM > 1
	:: COMMIT(DESCRIPTOR(1), DESCRIPTOR(1), DRIVER)
	:: COMMIT(DESCRIPTOR(NUM + 1), DESCRIPTOR(1), DEVICE)
#endif
#if NUM > 2
	:: COMMIT(DESCRIPTOR(2), DESCRIPTOR(2), DRIVER)
	:: COMMIT(DESCRIPTOR(NUM + 2), DESCRIPTOR(2), DEVICE)
#endif
#if NUM > 3
#error "more descriptors need more lines here"
#endif
#endif
	od
}

inline store(from, value)
{
	buffer[from]!(value);
	pending[me]++
}

#define FENCE_UNLESS(mistake) ((mistake) == me || pending[me] == 0)

/* Chains that may be given: free room, or what the device has in hand. */
#define ROOM                                                         \
	(me == DRIVER -> NUM - DISTANCE(taken, given) :              \
			 DISTANCE(given, taken))

/* The other side shows something that wasn't taken. */
#ifdef PACKED
#define SHOWN                                                        \
	(memory[DESCRIPTOR(PLACE(taken))] ==                         \
	 (me == DEVICE -> AVAILABLE(WRAP(taken)) : USED(WRAP(taken))))
#else
#define SHOWN (memory[INDEX(other)] != taken)
#endif

inline give()
{
#ifdef PACKED
	if
	:: me == DRIVER -> length[PLACE(given)] = 1
	:: me == DRIVER && ROOM >= 2 -> length[PLACE(given)] = 2
	:: me == DEVICE
	fi;
#endif
	given = ADD(given, length[PLACE(given)])
}

/* Stores what shows all that was given. */
inline show_given()
{
#ifdef PACKED
	/* A driver writes all descriptors, a device one for each chain. */
	at = shown;
	do
	:: at != given && me == DRIVER ->
		store(DESCRIPTOR(PLACE(at)), AVAILABLE(WRAP(at)));
		at = ADD(at, 1)
	:: at != given && me == DEVICE ->
		store(DESCRIPTOR(NUM + PLACE(at)), USED(WRAP(at)));
		at = ADD(at, length[PLACE(at)])
	:: at == given -> break
	od;
	at = 0
#else
	store(INDEX(me), given)
#endif
}

/* The other side's event lies in what was shown since the last decision. */
#ifdef EQUAL_ONLY
/* The mistake to look at the last position alone. */
#define CROSSED (ADD(memory[EVENT(other)], 1) == given)
#elif defined(PACKED)
/* In places of the present round: those of the one before lie below 0. */
#define EVENT_PLACE                                                  \
	(WRAP(memory[EVENT(other)]) == WRAP(given) ->                \
	 PLACE(memory[EVENT(other)]) : PLACE(memory[EVENT(other)]) - NUM)
#define BEHIND	(PLACE(given) - EVENT_PLACE - 1)
#define CROSSED (BEHIND >= 0 && BEHIND < DISTANCE(shown, given))
#else
#define CROSSED                                                      \
	(DISTANCE(ADD(memory[EVENT(other)], 1), given) <             \
	 DISTANCE(shown, given))
#endif

/* Event and flags of a packed ring are read as one word. */
#ifndef EVENT_IDX
#define WANTED (memory[FLAGS(other)] == ENABLE)
#elif defined(PACKED)
#define WANTED                                                       \
	(memory[FLAGS(other)] == ENABLE ||                           \
	 (memory[FLAGS(other)] == ONE_DESCRIPTOR && CROSSED))
#else
#define WANTED CROSSED
#endif

inline publish()
{
	atomic {
		do
		:: give();
			if
			:: ROOM > 0 /* the burst goes on */
			:: break    /* or what there is is shown */
			fi
		od;
		show_given()
	}
	/* Nothing but the fence holds the load back. */
	atomic {
		FENCE_UNLESS(NO_FENCE_PUBLISH);
		wanted = WANTED;
		shown = given
	}
	if
	:: atomic {
		/* Who wakes up sees what was stored before the system call. */
		wanted && pending[me] == 0 ->
		notified[other] = true;
		wanted = false
	   }
	:: !wanted
	fi
}

/*
 * To ask: the next position, or a flag. Two stores, as other people's
 * drivers do it; a single one for both can do less.
 */
#ifdef EVENT_IDX
#define ASK taken
#else
#define ASK ENABLE
#endif

inline ask()
{
#ifdef EVENT_IDX
	store(EVENT(me), taken);
#endif
#ifndef EVENT_IDX
	store(FLAGS(me), ENABLE);
#elif defined(PACKED)
	store(FLAGS(me), ONE_DESCRIPTOR);
#endif
	asked = ASK
}

/* To ask for silence, which is advice: a position that is past, or a flag. */
#if defined(EVENT_IDX) && !defined(PACKED)
#define SILENCE ADD(taken, RANGE - 1)
#define MAY_SILENCE (me == DRIVER) /* a device lets it fall behind by itself */
#elif defined(EVENT_IDX)
#define SILENCE RANGE /* no position */
#define MAY_SILENCE true
#else
#define SILENCE DISABLE
#define MAY_SILENCE true
#endif

inline ask_for_silence()
{
#if defined(EVENT_IDX) && !defined(PACKED)
	store(EVENT(me), SILENCE);
#else
	store(FLAGS(me), DISABLE);
#endif
	asked = SILENCE
}

proctype side(bit me)
{
	bit other = 1 - me;
	byte given; /* position behind the last chain given */
	byte shown; /* given, at the last decision */
	byte taken; /* position behind the last chain taken */
	byte asked; /* what was stored last */
	byte at;
	bool wanted;

	asked = RANGE + 1; /* nothing yet */
awake:
	do
	:: ROOM > 0 && !(me == DRIVER && quiet) -> publish()
	:: atomic {
		SHOWN -> taken = ADD(taken, length[PLACE(taken)]);
		if
		:: me == DRIVER && given == taken -> quiet = false
		:: else
		fi;
		if
		:: MAY_SILENCE && asked != SILENCE -> ask_for_silence()
		:: true
		fi
	   }
	:: !SHOWN && (me == DEVICE || given != taken) ->
		/*
		 * Who has asked for the same already saves store and fence,
		 * and then a second look may find what the first one found.
		 */
		if
		:: atomic { asked == ASK -> goto asleep }
		:: atomic { asked != ASK -> ask() }
		fi;
		if
		:: atomic {
			FENCE_UNLESS(NO_FENCE_ASK);
			if
			:: SHOWN && NO_SECOND_LOOK != me
			:: !SHOWN || NO_SECOND_LOOK == me -> goto asleep
			fi
		   }
		fi
	od;

asleep:
	if
	:: atomic { notified[me] -> notified[me] = false; goto awake }
	:: me == DEVICE && ROOM > 0 ->
		goto awake /* what it has in hand is done */
	:: atomic { !quiet -> notified[me] = false; goto awake } /* needless */
	:: atomic { me == DRIVER && !quiet -> quiet = true; goto asleep }
	fi
}

init {
	byte i;

	atomic {
		for (i : 0 .. NUM - 1) {
			length[i] = 1
		}
		i = 0;
		run side(DRIVER);
		run side(DEVICE)
	}
}
