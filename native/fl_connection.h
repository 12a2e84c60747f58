/* Between the two halves of the reactor, fl_reactor.c and fl_connection.c. */
#ifndef FL_CONNECTION_H
#define FL_CONNECTION_H

#include "fl_reactor.h"

fl_notice *fl_notice_add(fl_reactor *r, const fl_conn *c, fl_notice_kind kind);
/* Give the kernel more of the request. */
void fl_flush(fl_conn *c);

#endif
