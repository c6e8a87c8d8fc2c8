#include "counts/counts.h"
#include "relations/relations.h"
#include "rooms/adders.h"

const event_adder event_adders[] = {
	relations_add,
	counts_add,
	NULL,
};
