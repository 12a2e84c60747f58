/* Between the three parts of the reactor: sockets (fl_reactor.c), responses (fl_response.c), connections (fl_connection.c). */
#ifndef FL_CONNECTION_H
#define FL_CONNECTION_H

#include "fl_reactor.h"

fl_notice *fl_notice_add(fl_reactor *r, const fl_conn *c, fl_notice_kind kind);
/* Read a connection until its socket is empty; false when it gave way to what is due before. `closing`: epoll saw the peer's end, so
 * read on to meet it, whatever is due. */
bool fl_readable(fl_reactor *r, fl_conn *c, bool closing);
/* The connection is done with the known head it has at hand, if it has one. */
void fl_release_head(fl_reactor *r, fl_conn *c);
/* Plain bytes of one read arrived. */
void fl_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns);
/* The peer closed, or the connection broke (error != 0). */
void fl_ended(fl_reactor *r, fl_conn *c, int error, uint64_t stamp_ns);
/* Give the kernel more of the request. */
void fl_flush(fl_conn *c);

#endif
