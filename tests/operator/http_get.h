#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <string>

namespace spillway {

inline boost::asio::ip::tcp::endpoint EndpointOf(const std::string& address) {
  const size_t colon = address.rfind(':');
  return {boost::asio::ip::make_address(address.substr(0, colon)),
          static_cast<uint16_t>(std::stoi(address.substr(colon + 1)))};
}

// A connection that stays open.
class Connection {
 public:
  explicit Connection(const std::string& address) { socket_.connect(EndpointOf(address)); }
  // Sends raw bytes and reads up to and with `until`.
  std::string Ask(const std::string& request, const std::string& until) {
    boost::asio::write(socket_, boost::asio::buffer(request));
    std::string answer;
    boost::system::error_code error;
    boost::asio::read_until(socket_, boost::asio::dynamic_buffer(answer), until, error);
    return answer;
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_{io_};
};

// Sends raw bytes and reads until the server closes.
inline std::string Exchange(const std::string& address, const std::string& request) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  socket.connect(EndpointOf(address));
  boost::system::error_code error;
  boost::asio::write(socket, boost::asio::buffer(request), error);
  std::string answer;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
  return answer;
}

inline std::string Get(const std::string& address, const std::string& path,
                       const std::string& method = "GET") {
  return Exchange(address,
                  method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

// With a bearer token unless it is empty; the server's certificate must be of this authority, PEM.
// What went wrong, if something did.
inline std::string GetOverTls(const std::string& address, const std::string& path,
                              const std::string& authority, const std::string& token) {
  namespace ssl = boost::asio::ssl;
  boost::asio::io_context io;
  ssl::context context(ssl::context::tls_client);
  context.add_certificate_authority(boost::asio::buffer(authority));
  context.set_verify_mode(ssl::verify_peer);
  ssl::stream<boost::asio::ip::tcp::socket> stream(io, context);
  stream.lowest_layer().connect(EndpointOf(address));
  boost::system::error_code error;
  stream.handshake(ssl::stream_base::client, error);
  if (error) return error.message();
  const std::string header = token.empty() ? "" : "Authorization: Bearer " + token + "\r\n";
  boost::asio::write(stream, boost::asio::buffer("GET " + path + " HTTP/1.1\r\nHost: x\r\n" +
                                                 header + "Connection: close\r\n\r\n"));
  std::string answer;
  boost::asio::read(stream, boost::asio::dynamic_buffer(answer), error);
  return error == boost::asio::error::eof ? answer : answer + error.message();
}

}  // namespace spillway
